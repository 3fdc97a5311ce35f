"""Dense points, and the sparse ones where there are no dense ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.spatial import cKDTree

from recon.geometry.neighbors import nearest_centers, neighbor_distances
from recon.scene.nodes import Points, View

_NEIGHBORS = 3
_GAP = 4.0  # dense points that are this many of their own radii away leave a gap


def with_sparse(dense: Points, sparse: Points | None, views: Sequence[View]) -> Points:
    """`dense` and those of `sparse` that lie in its gaps, as large as the distance to their nearest sparse points.

    Stereo has nothing to say about what it cannot match; the few points there, which are large, keep splats from having
    to grow into the void.
    """
    assert dense.normals is not None and dense.scales is not None
    if sparse is None or len(sparse.positions) <= _NEIGHBORS or len(dense.positions) == 0:
        return dense
    positions = sparse.positions.double().numpy()
    distances, nearest = cKDTree(dense.positions.double().numpy()).query(positions)
    lonely = torch.from_numpy(distances) > _GAP * dense.scales.double()[torch.from_numpy(nearest)]
    sizes = neighbor_distances(sparse.positions, _NEIGHBORS)
    added = sparse.positions[lonely].float()
    _, sight = nearest_centers(added, torch.stack([view.center for view in views]).float())
    return Points(
        torch.cat([dense.positions, added]),
        torch.cat([dense.colors, sparse.colors[lonely].float()]),
        torch.cat([dense.normals, torch.nn.functional.normalize(sight, dim=-1)]),
        torch.cat([dense.scales, sizes[lonely].clamp_min(1e-12)]),
    )
