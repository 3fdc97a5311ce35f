"""Simplification, unwrapping and baking: manifolds, time limits, colours, files that other programs read."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from seen_shapes import ball, photograph
from topology import topology
from torch import Tensor

from recon.errors import ReconError
from recon.evaluate.image import psnr
from recon.evaluate.mesh_renderer import MeshRenderer
from recon.geometry.camera import Camera
from recon.io.formats import FORMATS
from recon.mesh.bake import BakeConfig
from recon.mesh.build import MeshConfig, simplified, textured, vertex_normals
from recon.mesh.pieces import photo_pieces
from recon.mesh.simplify import apart, manifold, simplify
from recon.mesh.space import Space
from recon.mesh.unwrap import unwrap
from recon.mesh.views import SurfaceView
from recon.render.mesh import homogeneous_pixels
from recon.scene import Scene, View
from recon.scene.nodes import Mesh, Node

CONFIG = MeshConfig(texture=256, bake=BakeConfig(refine=16))


def painted(view: SurfaceView) -> SurfaceView:
    """With stripes by height that are much finer than a simplified mesh."""
    points = view.points()
    stripes = 0.5 + 0.5 * torch.sin(points[..., 1:2] * 30) * torch.tensor([1.0, 0.6, -1.0])
    return replace(view, photo=stripes.clamp(0, 1) * (view.depth > 0)[..., None])


@pytest.fixture(scope="module")
def views() -> list[SurfaceView]:
    return [painted(view) for view in photograph(*ball(), count=10)]


@pytest.fixture(scope="module")
def grey() -> Mesh:
    vertices, faces = ball()
    return Mesh(
        vertices, faces.long(), vertex_normals(vertices, faces.long()), colors=torch.full((len(vertices), 3), 0.5)
    )


def rendered(mesh: Mesh, view: SurfaceView) -> Tensor:
    camera = Camera(view.width, view.height, view.K.double())
    return MeshRenderer(mesh, torch.zeros(3))(View("a", camera, view.world_to_camera.double()))


def test_fewer_triangles_stay_a_closed_manifold(grey: Mesh) -> None:
    few = simplified(grey, 1500, Space.plain())
    found = topology(few.faces)
    assert 1000 < len(few.faces) <= 1500
    assert found.non_manifold_edges == 0 and found.bow_ties == 0 and found.flipped_edges == 0
    assert float((few.vertices.norm(dim=1) - 0.6).abs().max()) < 0.01
    assert few.colors is not None and torch.allclose(few.colors, torch.tensor(0.5))
    vertices, faces = simplify(grey.vertices, grey.faces, 10**6)
    assert torch.equal(vertices, grey.vertices) and torch.equal(faces, grey.faces)


def test_cuts_make_a_manifold_and_move_nothing() -> None:
    """A fin on an edge, a fold of two faces, two tetrahedra that touch at a vertex."""
    vertices = torch.rand(9, 3, generator=torch.Generator().manual_seed(0))
    tetrahedron = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]
    other = [[a + 4 if a else 0 for a in face] for face in tetrahedron]
    faces = torch.tensor([*tetrahedron, *other, [0, 1, 8], [4, 5, 6], [4, 6, 5]])
    points, cut = manifold(vertices, faces)
    found = topology(cut)
    assert found.non_manifold_edges == 0 and found.bow_ties == 0 and found.flipped_edges == 0
    assert torch.equal(points[cut], vertices[faces[:-2]])


@pytest.mark.parametrize("edges", [1, 3])
def test_sheets_that_touch_are_whole_again(edges: int) -> None:
    """Two closed prisms that share a chain of edges: two balls, by index and by place."""
    height = torch.arange(edges + 1).float()
    line = torch.stack([torch.zeros(edges + 1), torch.zeros(edges + 1), height], 1)

    def prism(first: int, side: float) -> tuple[torch.Tensor, list[list[int]]]:
        rows = [line + torch.tensor([side, y, 0.0]) for y in (-0.7, 0.7)]
        at = [[k, first + k, first + edges + 1 + k] for k in range(edges + 1)]  # triangles at each height
        sides = []
        for low, high in itertools.pairwise(at):
            for k in range(3):
                a, b = low[k], low[(k + 1) % 3]
                sides += [[a, b, high[k]], [b, high[(k + 1) % 3], high[k]]]
        faces = [*sides, at[0][::-1], at[-1]]
        return torch.cat(rows), faces if side > 0 else [face[::-1] for face in faces]

    right, left = prism(edges + 1, 1.0), prism(3 * (edges + 1), -1.0)
    vertices, faces = torch.cat([line, right[0], left[0]]), torch.tensor(right[1] + left[1])
    assert topology(faces).non_manifold_edges == edges
    points, cut = manifold(vertices, faces)
    assert torch.equal(points[cut], vertices[faces])
    points, cut = apart(points, cut)
    for seen in (topology(cut), topology(torch.unique(points, dim=0, return_inverse=True)[1][cut])):
        assert (seen.non_manifold_edges, seen.boundary_edges, seen.bow_ties, seen.euler) == (0, 0, 0, 4)
    assert float((points[cut] - vertices[faces]).abs().max()) < 2e-3


def test_photos_come_back_from_the_texture(views: list[SurfaceView], grey: Mesh) -> None:
    few = simplified(grey, 3000, Space.plain())
    mesh, charts = textured(few, views, CONFIG, Space.plain())
    assert charts > 0 and mesh.texture is not None and mesh.texture.shape == (256, 256, 3)
    assert mesh.uvs is not None and float(mesh.uvs.min()) >= 0 and float(mesh.uvs.max()) <= 1
    before = [psnr(rendered(few, view), view.photo) for view in views]
    after = [psnr(rendered(mesh, view), view.photo) for view in views]
    assert min(after) > 24 > max(before), (before, after)
    # Views that were not baked see the same stripes: there is no border between charts to be seen.
    fresh = [painted(view) for view in photograph(*ball(), count=7)]
    assert min(psnr(rendered(mesh, view), view.photo) for view in fresh[1:-1]) > 22


def test_pieces_lie_in_the_photo_that_shows_them_squarely(views: list[SurfaceView], grey: Mesh) -> None:
    pieces = photo_pieces(grey.vertices, grey.faces, views)
    assert len(pieces.faces.unique()) == len(pieces.faces) > 0.8 * len(grey.faces)
    assert int(pieces.piece.max()) + 1 < 3 * len(views), "a few to a photo, and not crumbs"
    corners = grey.vertices[grey.faces[pieces.faces]]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = torch.nn.functional.normalize(normal, dim=1)
    squarely, best = torch.zeros(len(corners)), torch.zeros(len(corners))
    for view in views:
        q = homogeneous_pixels(corners, view.world_to_camera, view.K)
        here = ((q[..., :2] / q[..., 2:] - pieces.corners).abs() < 1e-2).all(2).all(1)
        cosine = (normal * torch.nn.functional.normalize(view.center - corners.mean(1), dim=1)).sum(1)
        squarely, best = torch.where(here, cosine, squarely), torch.maximum(best, cosine)
    assert float(squarely.min()) > 0.1, "each lies in a photo that sees its front"
    assert float((best - squarely).mean()) < 0.1


def test_hidden_texels_keep_the_colours_of_vertices(views: list[SurfaceView], grey: Mesh) -> None:
    mesh, _ = textured(simplified(grey, 2000, Space.plain()), views[:1], CONFIG, Space.plain())
    away = views[-1]
    seen = rendered(mesh, away)[away.depth > 0]
    assert float((seen - 0.5).abs().median()) < 0.02


def test_unwrapping_gives_up_in_time(grey: Mesh, views: list[SurfaceView]) -> None:
    pieces = photo_pieces(grey.vertices, grey.faces, views)
    assert unwrap(grey.vertices, grey.faces, pieces, 256, seconds=0.01) is None
    mesh, charts = textured(grey, views, replace(CONFIG, unwrap_seconds=0.01), Space.plain())
    assert charts == 0 and mesh is grey


def test_files_open_with_their_texture(tmp_path: Path, views: list[SurfaceView], grey: Mesh) -> None:
    mesh, _ = textured(
        simplified(grey, 1000, Space.plain()), views, replace(CONFIG, bake=BakeConfig(refine=0)), Space.plain()
    )
    scene = Scene(nodes=(Node("mesh", mesh),))
    for name in ("mesh", "obj"):
        path = tmp_path / FORMATS[name].file
        FORMATS[name].write(scene, path)
        loaded = trimesh.load(path, force="mesh", process=False)
        assert len(loaded.faces) == len(mesh.faces)
        assert np.asarray(loaded.visual.material.to_pbr().baseColorTexture if name == "obj" else
                          loaded.visual.material.baseColorTexture).shape[:2] == (256, 256)  # fmt: skip
        assert mesh.uvs is not None
        corners = np.asarray(loaded.visual.uv)[np.asarray(loaded.faces)].reshape(-1, 2)
        wanted = mesh.uvs.numpy()[mesh.faces.numpy()].reshape(-1, 2) * [1, -1] + [0, 1]
        np.testing.assert_allclose(np.sort(corners, 0), np.sort(wanted, 0), atol=1e-4)


def test_too_small_a_budget_is_named(grey: Mesh) -> None:
    with pytest.raises(ReconError, match=r"mesh\.faces"):
        simplify(grey.vertices * torch.nan, grey.faces, 100)
