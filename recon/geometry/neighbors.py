"""How far points are from each other and from the cameras."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def neighbor_distances(positions: Tensor, neighbors: int) -> Tensor:
    """Root mean square distance [N] from each of `positions` [N, 3] to its nearest others (Kerbl et al. 2023)."""
    from scipy.spatial import cKDTree

    count = min(neighbors, len(positions) - 1)
    if count < 1:
        return torch.ones(len(positions))
    array = positions.double().numpy()
    distances, _ = cKDTree(array).query(array, k=count + 1, workers=torch.get_num_threads())
    return torch.from_numpy(np.sqrt((distances[:, 1:] ** 2).mean(1))).float()


def nearest_centers(positions: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [N] of each of `positions` [N, 3] to the nearest of `centers` [C, 3], and the way there [N, 3]."""
    distances, which = torch.cdist(positions, centers, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return distances, centers[which] - positions
