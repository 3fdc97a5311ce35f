"""The formats that `recon.io.ply` and `recon.io.surface` write."""

from __future__ import annotations

from pathlib import Path

from recon.errors import ReconError
from recon.io.formats import glb
from recon.io.formats.format import Format, splats_of
from recon.io.ply import read_splats, write_points, write_splats
from recon.io.surface import as_gaussians, triangles_as_mesh, write_mesh
from recon.scene import Scene
from recon.scene.nodes import Node


def _ply(scene: Scene, path: Path) -> None:
    write_splats(path, splats_of(scene))


def _gaussians(scene: Scene, path: Path) -> None:
    write_splats(path, as_gaussians(splats_of(scene)))


def _mesh(scene: Scene, path: Path) -> None:
    mesh = scene.mesh or triangles_as_mesh(splats_of(scene))
    if path.suffix.lower() == ".glb":
        glb.write(Scene(nodes=(Node("mesh", mesh),), metric=scene.metric), path)
    else:
        write_mesh(path, mesh)


def _points(scene: Scene, path: Path) -> None:
    if scene.points is None:
        raise ReconError("the scene has no points", fix="export --format ply, or use photos with more texture")
    write_points(path, scene.points)


PLY = Format(
    "splats.ply",
    "Gaussians as the INRIA code writes them, other families with properties of their own",
    _ply,
    read_splats,
    lambda path, head: head.startswith(b"ply"),
)
GAUSSIANS = Format("gaussians.ply", "surfels and exponentials as Gaussians", _gaussians)


def _of_splats(scene: Scene) -> bool:
    return scene.mesh is None


MESH = Format("mesh.glb", "the mesh, or opaque triangles as one", _mesh, splats=_of_splats)
OBJ = Format("mesh.obj", "the same as OBJ", _mesh, splats=_of_splats)
PLY_MESH = Format("mesh.ply", "the same as PLY, without a texture", _mesh, splats=_of_splats)
STL = Format("mesh.stl", "the same as STL, without colours", _mesh, splats=_of_splats)
POINTS = Format("points.ply", "the points that the splats started at", _points, splats=lambda scene: False)
