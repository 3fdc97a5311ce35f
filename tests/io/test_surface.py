"""Triangles as mesh files, and families as Gaussians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from random_splats import random_family

from recon.errors import ReconError
from recon.io.ply import write_points, write_splats
from recon.io.surface import as_gaussians, read_mesh_or_points, triangles_as_mesh, write_mesh
from recon.render.rasterize import rasterize
from recon.scene import Mesh, Points, Splats


def solid(count: int = 6) -> Splats:
    splats = random_family("triangle", count, sh_degree=0)
    middles = splats["vertices"].mean(1, keepdim=True)
    vertices = middles + 4 * (splats["vertices"] - middles)
    vertices[..., 2] = middles[..., 2]  # none crosses another, so that sorting by centres is exact
    logits = torch.full((count,), 9.0)
    logits[0] = -9.0
    own = {"vertices": vertices, "opacity_logits": logits, "log_sigmas": torch.full((count,), -9.0)}
    return Splats("triangle", {**splats.params, **own})


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".obj"])
def test_opaque_triangles_open_in_trimesh(tmp_path: Path, suffix: str) -> None:
    splats = solid()
    write_mesh(tmp_path / f"a{suffix}", triangles_as_mesh(splats))
    mesh = trimesh.load(tmp_path / f"a{suffix}", process=False, force="mesh")
    assert len(mesh.faces) == 5, "the transparent one is left out"
    corners = np.sort(mesh.vertices[mesh.faces].reshape(-1, 3), axis=0)
    wanted = np.sort(splats["vertices"][1:].reshape(-1, 3).numpy(), axis=0)
    np.testing.assert_allclose(corners, wanted, atol=1e-5)
    colors = (splats["sh_coeffs"][1:, 0] * 0.28209479177387814 + 0.5).clamp(0, 1).repeat_interleave(3, 0) * 255
    found = np.sort(mesh.visual.vertex_colors[mesh.faces].reshape(-1, 4)[:, :3], axis=0)
    np.testing.assert_allclose(found, np.sort(colors.numpy(), axis=0), atol=1)


def test_solid_splats_look_like_their_mesh() -> None:
    """The rasteriser's picture of solid triangles against rays cast at the exported mesh."""
    splats = solid(12)
    mesh = triangles_as_mesh(splats)
    size, f = 48, 60.0
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]])
    camera = torch.eye(4)
    camera[2, 3] = 5.0
    found = rasterize(splats.params, camera, K, size, size, family="triangle").color
    grid = torch.stack(torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="xy"), -1)
    rays = torch.cat([(grid - size / 2) / f, torch.ones(size, size, 1)], -1).reshape(-1, 3).numpy()
    shape = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    origins = np.tile([0.0, 0, -5], (len(rays), 1))
    triangles, which, points = shape.ray.intersects_id(origins, rays, multiple_hits=False, return_locations=True)
    image = np.zeros((size * size, 3))
    assert mesh.colors is not None
    image[which] = mesh.colors.numpy()[mesh.faces.numpy()[triangles, 0]]
    error = np.abs(found.reshape(-1, 3).numpy() - image).max(-1)
    # Softness of 0.01 is left within half a pixel of an edge.
    assert (error < 0.1).mean() > 0.98
    assert len(points) > 100


@pytest.mark.parametrize("family", ["surfel", "exponential", "gaussian"])
def test_as_gaussians(family: str) -> None:
    splats = random_family(family)
    gaussians = as_gaussians(splats)
    assert gaussians.family == "gaussian" and gaussians["log_scales"].shape == (5, 3)
    assert torch.equal(gaussians["log_scales"][:, :2], splats["log_scales"][:, :2])


def test_what_cannot_be_exported_says_so() -> None:
    with pytest.raises(ReconError, match="found the family 'convex'"):
        triangles_as_mesh(random_family("convex"))
    with pytest.raises(ReconError, match=r"none of 5 at least 0\.5 opaque"):
        splats = random_family("triangle")
        triangles_as_mesh(Splats("triangle", {**splats.params, "opacity_logits": torch.full((5,), -3.0)}))
    with pytest.raises(ReconError, match="'triangle' as Gaussians"):
        as_gaussians(random_family("triangle"))
    with pytest.raises(ReconError, match="suffix"):
        write_mesh(Path("a.xyz"), triangles_as_mesh(solid()))


def test_a_ply_is_a_mesh_or_points(tmp_path: Path) -> None:
    mesh = triangles_as_mesh(solid())
    write_mesh(tmp_path / "mesh.ply", mesh)
    found = read_mesh_or_points(tmp_path / "mesh.ply")
    assert isinstance(found, Mesh) and len(found.faces) == len(mesh.faces)
    normals = torch.nn.functional.normalize(torch.randn(7, 3), dim=1)
    write_points(tmp_path / "points.ply", Points(torch.randn(7, 3), torch.rand(7, 3), normals))
    found = read_mesh_or_points(tmp_path / "points.ply")
    assert isinstance(found, Points) and found.normals is not None
    torch.testing.assert_close(found.normals, normals)
    trimesh.PointCloud(np.random.default_rng(0).normal(size=(9, 3))).export(tmp_path / "other.ply")
    found = read_mesh_or_points(tmp_path / "other.ply")
    assert isinstance(found, Points) and len(found.positions) == 9 and found.normals is None
    write_splats(tmp_path / "splats.ply", random_family("gaussian", 5))
    with pytest.raises(ReconError, match=r"splats\.ply: a mesh or points: found splats"):
        read_mesh_or_points(tmp_path / "splats.ply")
    with pytest.raises(ReconError, match="no such file"):
        read_mesh_or_points(tmp_path / "absent.ply")
