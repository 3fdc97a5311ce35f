"""Splats as what other programs can show: solid triangles as a mesh file, flat or exponential ones as Gaussians."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import spherical_harmonics
from recon.io.ply import read_points
from recon.io.ply_file import open_ply
from recon.scene.atomic import atomic_path
from recon.scene.nodes import Mesh, Points, Splats

MESH_SUFFIXES = (".ply", ".glb", ".obj", ".stl", ".off")
_FLAT = -11.5  # log of the third scale of a surfel, relative to the smaller of the other two


def triangles_as_mesh(splats: Splats, min_opacity: float = 0.5) -> Mesh:
    """The triangles that are at least `min_opacity` opaque, each with three vertices in its colour without direction.

    Raises ReconError for other families, and when no triangle is opaque enough.
    """
    if splats.family != "triangle":
        raise ReconError(
            "the scene has no mesh, and its splats are none",
            found=f"the family {splats.family!r}",
            wanted="triangles",
            fix="make a mesh with `recon run` on its scene.yaml, or train --set splats.primitive=triangle "
            "--set splats.triangle.solid=true",
        )
    solid = splats["opacity_logits"].detach().sigmoid() >= min_opacity
    if not bool(solid.any()):
        raise ReconError(
            "a mesh of triangles",
            found=f"none of {len(splats)} at least {min_opacity} opaque",
            fix="run with --set splats.triangle.solid=true",
        )
    vertices = splats["vertices"].detach().float()[solid].reshape(-1, 3)
    colors = spherical_harmonics.to_rgb(splats["sh_coeffs"].detach()[solid, 0]).clamp(0, 1)
    faces = torch.arange(len(vertices)).reshape(-1, 3)
    return Mesh(vertices, faces, colors=colors.repeat_interleave(3, dim=0))


def read_mesh(path: Path) -> Mesh:
    """Vertices and faces of a mesh file, through trimesh; colours are not read.

    Raises ReconError for a file that is none, without triangles, or with vertices that are not finite.
    """
    import trimesh

    if path.suffix.lower() not in MESH_SUFFIXES:
        raise ReconError(f"{path}: a mesh", found=f"the suffix {path.suffix!r}", wanted=", ".join(MESH_SUFFIXES))
    if not path.is_file():
        raise ReconError(f"{path}: no such file", wanted="a mesh", fix="check the path")
    try:
        loaded: Any = trimesh.load(path, force="mesh", process=False)
        vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(loaded.faces, np.int64)
    except Exception as error:  # trimesh's readers raise whatever they stumble over
        raise ReconError(f"{path}: not a mesh that can be read", found=str(error)[:80], fix="export it again") from None
    if not len(faces) or not np.isfinite(vertices).all():
        found = f"{len(faces)} triangles" if not len(faces) else "vertices that are not finite"
        raise ReconError(f"{path}: a mesh", found=found, wanted="finite triangles", fix="export it again")
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces))


def read_mesh_or_points(path: Path) -> Mesh | Points:
    """A mesh file, or the points of a PLY without faces, with their normals where it has them.

    Raises ReconError for what `read_mesh` and `read_points` refuse, and for a file of splats: those lie beside their
    surface as often as on it.
    """
    if path.suffix.lower() != ".ply" or not path.is_file():
        return read_mesh(path)
    file = open_ply(path)
    faces = file.element("face")
    if faces is not None and faces.count:
        return read_mesh(path)
    if any(name.startswith(("scale_", "recon_", "f_dc_")) for name in file.names("vertex")):
        raise ReconError(
            f"{path}: a mesh or points", found="splats",
            fix="give the file as splats.init, whose splats then are the mesh's start",
        )  # fmt: skip
    return read_points(path)


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh, with its texture or its colours of vertices where the format has them, by the file's suffix.

    OBJ files get a material and a picture beside them, named like the file.
    """
    import trimesh
    from PIL import Image

    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise ReconError(f"{path}: a mesh", found=f"the suffix {path.suffix!r}", wanted=", ".join(MESH_SUFFIXES))
    visual = None
    if mesh.texture is not None and mesh.uvs is not None and suffix == ".obj":
        material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(mesh.texture), name=path.stem)
        # trimesh counts v from the bottom.
        visual = trimesh.visual.TextureVisuals(uv=mesh.uvs.numpy() * [1, -1] + [0, 1], material=material)
    colors = None if visual is not None else _vertex_colors(mesh)
    # `process` would merge the corners of neighbours, which have colours of their own.
    out = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), vertex_colors=colors, visual=visual, process=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    if visual is None:
        with atomic_path(path) as temporary:
            out.export(temporary, file_type=suffix[1:])
        return
    text, files = trimesh.exchange.obj.export_obj(out, return_texture=True, mtl_name=f"{path.stem}.mtl")
    for name, content in {**files, path.name: text.encode()}.items():
        with atomic_path(path.with_name(name)) as temporary:
            temporary.write_bytes(content)


def _vertex_colors(mesh: Mesh) -> np.ndarray | None:
    """[V, 4] uint8; the texture's where there is one."""
    if mesh.texture is not None and mesh.uvs is not None:
        height, width = mesh.texture.shape[:2]
        x, y = (mesh.uvs.numpy() * [width, height]).astype(int).clip(0, [width - 1, height - 1]).T
        colors = mesh.texture[y, x]
    elif mesh.colors is not None:
        colors = np.rint(mesh.colors.numpy() * 255).astype(np.uint8)
    else:
        return None
    return np.concatenate([colors, np.full((len(colors), 1), 255, np.uint8)], axis=1)


def as_gaussians(splats: Splats) -> Splats:
    """Gaussians that look about alike: surfels get a thin third axis, exponentials lose their exponent.

    Raises ReconError for families that no Gaussian resembles.
    """
    names = ("means", "quats", "log_scales", "opacity_logits", "sh_coeffs")
    if splats.family == "gaussian":
        return splats
    if splats.family not in ("surfel", "exponential"):
        raise ReconError(
            f"splats of the family {splats.family!r} as Gaussians",
            wanted="gaussian, surfel or exponential",
            fix="export --format ply, or --format mesh for triangles",
        )
    params = {name: splats[name] for name in names}
    if splats.family == "surfel":
        thin = params["log_scales"].amin(1, keepdim=True) + _FLAT
        params["log_scales"] = torch.cat([params["log_scales"], thin], dim=1)
    return Splats("gaussian", params)
