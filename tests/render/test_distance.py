"""Distances to meshes against closed forms."""

from __future__ import annotations

import torch

from recon.mesh.flexicubes import extract
from recon.mesh.voxels import VoxelGrid
from recon.render.distance import first_hits, mean_distance, nearest, sample_surface, signed_distance

CUBE = torch.tensor([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)], dtype=torch.float64)
SIDES = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]]
FACES = torch.tensor([[q[0], *pair] for q in SIDES for pair in (q[1:3], q[2:4])])


def test_signed_distance_of_a_cube() -> None:
    """Inside, before faces, edges and corners: all kinds of nearest features."""
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 - 1
    outside = (points - points.clamp(0, 1)).norm(dim=1)
    inside = torch.minimum(points, 1 - points).amin(1)
    expected = torch.where(inside > 0, -inside, outside)
    torch.testing.assert_close(signed_distance(points, CUBE, FACES), expected, rtol=0, atol=1e-12)


def test_nearest_agrees_with_all_pairs() -> None:
    rng = torch.Generator().manual_seed(1)
    vertices = torch.randn(60, 3, generator=rng, dtype=torch.float64)
    faces = torch.stack([torch.randperm(60, generator=rng)[:3] for _ in range(200)])
    points = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    found = (nearest(points, vertices, faces).points - points).norm(dim=1)
    each = torch.stack([(nearest(points, vertices, face[None]).points - points).norm(dim=1) for face in faces])
    torch.testing.assert_close(found, each.amin(0), rtol=0, atol=1e-14)


def test_samples_are_uniform_and_distances_symmetric() -> None:
    points, faces = sample_surface(CUBE, FACES, 12000)
    assert torch.bincount(faces, minlength=12).tolist() == [1000] * 12
    assert abs(float(points[faces < 2, 1].mean()) - 0.5) < 0.02
    assert mean_distance((CUBE, FACES), (CUBE, FACES)) < 1e-12
    moved = CUBE + torch.tensor([0, 0, 0.1])
    there, back = mean_distance((CUBE, FACES), (moved, FACES), 9999), mean_distance((moved, FACES), (CUBE, FACES), 9999)
    assert abs(there - back) < 1e-3 and 0.03 < there < 0.1


def test_extraction_from_exact_distances_is_second_order() -> None:
    grid = VoxelGrid.dense(24, torch.full((3,), -0.7), 2.4 / 24)
    points = grid.corner_positions(torch.float64)
    surface = extract(grid, signed_distance(points, CUBE, FACES))
    assert mean_distance((surface.vertices, surface.faces), (CUBE, FACES), 20000) < 0.2 * grid.voxel_size


def test_rays_meet_the_first_face() -> None:
    """Against all faces one by one, also along axes, from either side, and past what is near."""
    rng = torch.Generator().manual_seed(2)
    vertices = torch.randn(60, 3, generator=rng, dtype=torch.float64)
    faces = torch.stack([torch.randperm(60, generator=rng)[:3] for _ in range(120)])
    origins = torch.randn(80, 3, generator=rng, dtype=torch.float64) * 2
    directions = torch.randn(80, 3, generator=rng, dtype=torch.float64)
    t, face = first_hits(origins, directions, vertices, faces)
    each = torch.stack([first_hits(origins, directions, vertices, one[None])[0] for one in faces])
    assert torch.equal(t, each.amin(0)) and torch.equal(face[t.isfinite()], each.argmin(0)[t.isfinite()])
    assert 10 < int(t.isfinite().sum()) < 80 and bool((face[t.isinf()] == -1).all())
    axis = torch.tensor([[0.25, 0.4, -2.0], [0.25, 0.4, 0.5], [2.0, 0.4, 0.5]], dtype=torch.float64)
    along = torch.tensor([[0, 0, 2.0], [0, 0, 1.0], [0, 0, 1.0]], dtype=torch.float64)
    assert first_hits(axis, along, CUBE, FACES)[0].tolist() == [1.0, 0.5, float("inf")]
    assert first_hits(axis, along, CUBE, FACES, near=1.2)[0].tolist() == [1.5, float("inf"), float("inf")]
    assert first_hits(axis, along, CUBE, FACES[:0])[1].tolist() == [-1, -1, -1]
