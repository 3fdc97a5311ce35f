"""Axes without a sign, such as those of a sheet, turned the same way all along it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.mesh.voxels import VoxelGrid

_EDGES = [(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit]
"""Pairs of a voxel's corners that an edge joins."""


def oriented(grid: VoxelGrid, rows: Tensor, axes: Tensor, lean: Tensor) -> Tensor:
    """The axes [R, 3] of the corners `rows` [R], with signs: neighbours in the lattice turn as little as possible.

    lean: [R, 3], as for `turned_alike`.
    """
    place = torch.full((len(grid.corners),), -1, dtype=torch.long)
    place[rows] = torch.arange(len(rows))
    ends = torch.unique(place[grid.voxel_corners.long()[:, _EDGES].reshape(-1, 2)].sort(1).values, dim=0)
    return turned_alike(axes, ends[ends[:, 0] >= 0], lean)


def turned_alike(axes: Tensor, ends: Tensor, lean: Tensor) -> Tensor:
    """The axes [R, 3], unit length, with signs: those that an edge of `ends` [E, 2] joins turn as little as possible.

    Signs spread along a minimum spanning tree (Hoppe et al. 1992, section 3.3). Every connected part as a whole goes
    with the sum of `lean` [R, 3]. An edge may be there once only, from either end.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    count = len(axes)
    if count == 0:
        return axes
    # Zero would be no edge at all.
    turn = 1.001 - (axes[ends[:, 0]] * axes[ends[:, 1]]).sum(1).abs()
    tree = minimum_spanning_tree(coo_matrix((turn.numpy(), (ends[:, 0].numpy(), ends[:, 1].numpy())), (count, count)))
    parts, part = connected_components(tree, directed=False)
    vectors, sign = axes.numpy(), np.ones(count, np.float32)
    for root in np.unique(part, return_index=True)[1]:
        order, before = breadth_first_order(tree, root, directed=False)
        for node in order[1:]:
            sign[node] = sign[before[node]] * (1 if vectors[node] @ vectors[before[node]] >= 0 else -1)
    found = axes * torch.from_numpy(sign)[:, None]
    belongs = torch.from_numpy(part).long()
    total = torch.zeros(parts).index_add_(0, belongs, (found * lean).sum(1))
    return found * torch.where(total >= 0, 1.0, -1.0)[belongs][:, None]
