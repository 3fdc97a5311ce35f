"""Laws of the extractor, and its derivatives against the plain-torch twin."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from flexicubes_twin import extract_twin
from topology import topology
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.flexicubes import cut_edges, extract, sign_loss
from recon.mesh.voxels import VoxelGrid
from recon.render.library import core


def box(resolution: int) -> VoxelGrid:
    """[-1, 1]^3."""
    return VoxelGrid.dense(resolution, torch.full((3,), -1.0), 2 / resolution)


def band(grid: VoxelGrid, sdf: Tensor) -> Tensor:
    """[M] bool: voxels with both signs."""
    inside = (sdf < 0)[grid.voxel_corners.long()]
    return inside.any(1) & ~inside.all(1)


def test_case_table() -> None:
    """The counts of Shen et al. 2023's table, generated here from one rule."""
    rows = core.cube_table()
    assert Counter(row[0] for row in rows) == {0: 2, 1: 162, 2: 82, 3: 8, 4: 2}
    valences = {row[2].count(dual) for row in rows for dual in range(row[0])}
    assert valences == {3, 4, 5, 6, 7}
    assert sum(row[1] >= 0 for row in rows) == 36
    for case, row in enumerate(rows):
        assert [e == 255 for e in row[2]] == [e == 255 for e in rows[255 - case][2]], case


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_random_closed_fields_are_closed_manifolds(zeros: float, training: bool) -> None:
    for seed in range(1 if training else 3):
        rng = torch.Generator().manual_seed(seed)
        grid = box(32)
        sdf = torch.randn(len(grid.corners), generator=rng)
        sdf[torch.rand(len(sdf), generator=rng) < zeros] = 0
        sdf[((grid.corners == 0) | (grid.corners == 32)).any(1)] = 1
        found = topology(extract(grid, sdf, training=training).faces)
        assert (found.boundary_edges, found.non_manifold_edges, found.flipped_edges, found.bow_ties) == (0, 0, 0, 0)


def test_order_of_voxels_does_not_matter() -> None:
    grid = box(12)
    rng = torch.Generator().manual_seed(0)
    shuffled = VoxelGrid.from_coords(
        grid.coords[torch.randperm(len(grid), generator=rng)], grid.origin, grid.voxel_size
    )
    sdf = torch.randn(len(grid.corners), generator=rng)
    a, b = extract(grid, sdf), extract(shuffled, sdf)
    assert torch.equal(a.vertices, b.vertices) and torch.equal(a.faces, b.faces)


def test_threads_do_not_matter() -> None:
    grid = box(16)
    sdf = torch.randn(len(grid.corners), generator=torch.Generator().manual_seed(1))
    threads = torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        s = sdf.clone().requires_grad_()
        surface = extract(grid, s, training=True)
        surface.vertices.square().sum().backward()
        results.append((surface.vertices, s.grad))
    torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_sparse_equals_dense() -> None:
    """The surface's own voxels give the mesh of the whole box: missing voxels elsewhere change nothing."""
    grid = box(24)
    sdf = grid.corner_positions().norm(dim=1) - 0.6
    sparse = grid.select(band(grid, sdf)).dilate(1)
    values = sdf[grid.find_corners(sparse.corners)]
    a, b = extract(grid, sdf), extract(sparse, values)
    assert torch.equal(a.vertices, b.vertices) and torch.equal(a.faces, b.faces)


def test_sphere_converges_with_the_square_of_the_resolution() -> None:
    errors = []
    for resolution in (16, 32, 64):
        grid = box(resolution)
        surface = extract(grid, grid.corner_positions().norm(dim=1) - 0.7)
        errors.append(float((surface.vertices.norm(dim=1) - 0.7).abs().mean()))
        found = topology(surface.faces)
        assert found.boundary_edges == 0 and found.euler == 2
        corners = surface.vertices[surface.faces.long()]
        normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert bool(((normal * corners.mean(1)).sum(1) > 0).all()), "faces look outward"
    assert errors[0] / errors[1] >= 3.5 and errors[1] / errors[2] >= 3.5, errors


def test_torus_has_a_hole() -> None:
    grid = box(32)
    x, y, z = grid.corner_positions().T
    sdf = (((x**2 + y**2).sqrt() - 0.6) ** 2 + z**2).sqrt() - 0.2
    found = topology(extract(grid, sdf).faces)
    assert (found.euler, found.boundary_edges) == (0, 0)


def test_open_surfaces_keep_their_boundary() -> None:
    """A sheet and a hemisphere, open because voxels are missing: one loop each, and nothing else."""
    grid = box(24)
    x, y, z = grid.corner_positions().T
    sheet = z - 0.2 * torch.sin(3 * x)
    cx, cy, cz = grid.centers().T
    for sdf, keep, euler in (
        (sheet, (cx.abs() < 0.7) & (cy.abs() < 0.5), 1),
        ((x**2 + y**2 + z**2).sqrt() - 0.7, cz > 0.1, 1),
    ):
        part = grid.select(keep & band(grid, sdf))
        found = topology(extract(part, sdf[grid.find_corners(part.corners)]).faces)
        assert (found.boundary_loops, found.euler, found.non_manifold_edges, found.bow_ties) == (1, euler, 0, 0)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_equal_those_of_the_twin(training: bool) -> None:
    """All parameters, vertices and deviations, on a grid with holes, in double precision."""
    rng = torch.Generator().manual_seed(3)
    grid = VoxelGrid.dense(6, torch.tensor([-0.3, 0.1, 2.0]), 0.25)
    grid = grid.select(torch.rand(len(grid), generator=rng) > 0.15)
    shapes = [(len(grid.corners),), (len(grid.corners), 3), (len(grid), 8), (len(grid), 12), (len(grid),)]
    values = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    values[0] *= 0.2
    ours, theirs = ([v.clone().requires_grad_() for v in values] for _ in range(2))
    surface = extract(grid, ours[0], deform=ours[1], alpha=ours[2], beta=ours[3], gamma=ours[4], training=training)
    vertices, faces, deviation = extract_twin(grid, *theirs, training)
    assert surface.faces.tolist() == faces
    torch.testing.assert_close(surface.vertices, vertices, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(surface.deviation, deviation, rtol=1e-9, atol=1e-12)
    v = torch.randn(vertices.shape, generator=rng, dtype=torch.float64)
    w = torch.randn(deviation.shape, generator=rng, dtype=torch.float64)
    ((surface.vertices * v).sum() + (surface.deviation * w).sum()).backward()
    ((vertices * v).sum() + (deviation * w).sum()).backward()
    for name, a, b in zip(("sdf", "deform", "alpha", "beta", "gamma"), ours, theirs, strict=True):
        expected = torch.zeros_like(a) if b.grad is None else b.grad
        torch.testing.assert_close(a.grad, expected, rtol=1e-7, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")


def test_scaling_the_values_changes_nothing() -> None:
    grid = box(16)
    sdf = grid.corner_positions(torch.float64).norm(dim=1) - 0.6
    torch.testing.assert_close(extract(grid, 7 * sdf).vertices, extract(grid, sdf).vertices, rtol=0, atol=1e-12)


def test_sign_loss_takes_each_cut_edge_once() -> None:
    grid = box(2)
    sdf = torch.ones(27, dtype=torch.float64)
    sdf[13] = -0.5  # the middle: six edges
    assert len(cut_edges(grid, sdf)) == 6
    expected = (torch.nn.functional.softplus(sdf[0]) + torch.nn.functional.softplus(-sdf[13])) * 1.0
    torch.testing.assert_close(sign_loss(grid, sdf, scale=1.0), expected)


def test_empty_and_damaged_input() -> None:
    empty = VoxelGrid.from_coords(torch.zeros(0, 3, dtype=torch.int32), torch.zeros(3), 1.0)
    assert len(extract(empty, torch.zeros(0)).faces) == 0
    grid = box(4)
    assert len(extract(grid, torch.ones(len(grid.corners))).vertices) == 0
    sdf = torch.ones(len(grid.corners))
    sdf[3] = float("nan")
    with pytest.raises(ReconError, match="1 values that are not finite"):
        extract(grid, sdf)
    with pytest.raises(ValueError, match="alpha"):
        extract(grid, torch.ones(len(grid.corners)), alpha=torch.zeros(3, 8))
