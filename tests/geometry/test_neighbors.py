from __future__ import annotations

import pytest
import torch

from recon.geometry.neighbors import nearest_centers, neighbor_distances


def test_neighbor_distances_of_a_grid() -> None:
    axis = torch.arange(4.0) * 0.5
    grid = torch.cartesian_prod(axis, axis, axis)
    # Every grid point, a corner too, has three neighbours at exactly the spacing.
    assert torch.allclose(neighbor_distances(grid, 3), torch.full((64,), 0.5))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_neighbor_distances_with_fewer_points_than_neighbors(count: int) -> None:
    distances = neighbor_distances(torch.arange(count * 3.0).reshape(count, 3), 3)
    assert distances.shape == (count,)
    assert bool((distances > 0).all())


def test_nearest_centers_and_the_way_there() -> None:
    positions, centers = torch.tensor([[0.0, 0, 0], [9.0, 0, 0]]), torch.tensor([[10.0, 0, 0], [0.0, 3, 4]])
    distances, sight = nearest_centers(positions, centers)
    assert torch.equal(distances, torch.tensor([5.0, 1.0]))
    assert torch.equal(positions + sight, centers[[1, 0]])
