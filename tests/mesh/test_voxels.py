"""Laws of the sparse lattice."""

from __future__ import annotations

import pytest
import torch

from recon.errors import ReconError
from recon.mesh.voxels import CORNERS, LIMIT, VoxelGrid


def random_grid(seed: int = 0, count: int = 300) -> VoxelGrid:
    coords = torch.randint(-6, 7, (count, 3), generator=torch.Generator().manual_seed(seed))
    return VoxelGrid.from_coords(coords, torch.tensor([0.5, -1.0, 2.0]), 0.25)


def as_set(coords: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(c) for c in coords.tolist()}


def test_corners_are_those_of_the_voxels() -> None:
    grid = random_grid()
    expected = grid.coords[:, None] + CORNERS
    assert torch.equal(grid.corners[grid.voxel_corners.long()], expected)
    assert as_set(grid.corners) == as_set(expected.reshape(-1, 3)) and len(as_set(grid.corners)) == len(grid.corners)
    assert torch.equal(grid.corner_positions(), grid.corners * 0.25 + torch.tensor([0.5, -1.0, 2.0]))


def test_dilate_select_and_find() -> None:
    grid = random_grid()
    steps = torch.cartesian_prod(*[torch.arange(-2, 3)] * 3)
    wide = grid.dilate(2)
    assert as_set(wide.coords) == as_set((grid.coords[:, None] + steps).reshape(-1, 3))
    keep = wide.find(grid.coords)
    mask = torch.zeros(len(wide), dtype=torch.bool)
    mask[keep] = True
    back = wide.select(mask)
    assert torch.equal(back.coords, grid.coords) and torch.equal(back.voxel_corners, grid.voxel_corners)
    assert int(grid.find(torch.tensor([[99, 0, 0]]))[0]) == -1


def test_subdivision_keeps_the_space_and_linear_functions() -> None:
    grid = random_grid()
    fine = grid.subdivide()
    assert len(fine) == 8 * len(grid) and fine.voxel_size == grid.voxel_size / 2
    torch.testing.assert_close(fine.centers().mean(0), grid.centers().mean(0))

    def function(p: torch.Tensor) -> torch.Tensor:
        return p @ torch.tensor([1.0, -2.0, 0.5]) + p[:, 0] * p[:, 1] * p[:, 2]

    part = fine.select(torch.arange(len(fine)) % 3 > 0)
    values = grid.sample(function(grid.corner_positions()), part)
    coarse_corner = (part.corners % 2 == 0).all(1)
    assert bool(coarse_corner.any())
    torch.testing.assert_close(values[coarse_corner], function(part.corner_positions())[coarse_corner])
    linear = grid.sample(grid.corner_positions(), part)
    torch.testing.assert_close(linear, part.corner_positions())


def test_far_coordinates() -> None:
    """Keys hold lattices far beyond 1290^3, where 32 bits end."""
    coords = torch.tensor([[LIMIT, -LIMIT, 5], [-LIMIT, LIMIT, -7]])
    grid = VoxelGrid.from_coords(coords, torch.zeros(3), 1.0)
    assert as_set(grid.coords) == as_set(coords) and len(grid.corners) == 16
    with pytest.raises(ReconError, match="larger voxels"):
        grid.subdivide()
    with pytest.raises(ReconError, match="voxel coordinates"):
        VoxelGrid.from_coords(coords + 10, torch.zeros(3), 1.0)
    with pytest.raises(ReconError, match="voxel size"):
        VoxelGrid.from_coords(coords, torch.zeros(3), 0.0)
