"""Dense points, and the sparse ones where there are no dense ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from recon.geometry.neighbors import nearest_centers, neighbor_distances
from recon.scene.nodes import Points, View

_NEIGHBORS = 3
_GAP = 4.0  # dense points that are this many of their own radii away leave a gap
_BEFORE = 0.95  # a point nearer than this share of a surface's depth stands before it


def with_sparse(dense: Points, sparse: Points | None, views: Sequence[View]) -> Points:
    """`dense` and those of `sparse` that lie in its gaps, as large as the distance to their nearest sparse points.

    Stereo has nothing to say about what it cannot match; the few points there, which are large, keep splats from having
    to grow into the void. Points before a surface that a photo sees are wrong matches and left out.
    """
    assert dense.normals is not None and dense.scales is not None
    if sparse is None or len(sparse.positions) <= _NEIGHBORS or len(dense.positions) == 0:
        return dense
    positions = sparse.positions.double().numpy()
    distances, nearest = cKDTree(dense.positions.double().numpy()).query(positions)
    lonely = torch.from_numpy(distances) > _GAP * dense.scales.double()[torch.from_numpy(nearest)]
    lonely[lonely.clone()] = ~stands_before(sparse.positions[lonely], dense, views)
    sizes = neighbor_distances(sparse.positions, _NEIGHBORS)
    added = sparse.positions[lonely].float()
    _, sight = nearest_centers(added, torch.stack([view.center for view in views]).float())
    return Points(
        torch.cat([dense.positions, added]),
        torch.cat([dense.colors, sparse.colors[lonely].float()]),
        torch.cat([dense.normals, torch.nn.functional.normalize(sight, dim=-1)]),
        torch.cat([dense.scales, sizes[lonely].clamp_min(1e-12)]),
    )


def stands_before(positions: Tensor, dense: Points, views: Sequence[View]) -> Tensor:
    """Which of `positions` [N, 3] would hide dense points from one of `views`, which shows those points: [N] bool.

    A point is held against the dense ones whose patches its pixel lies in: it hides them when it is nearer than all by
    5 %. Source: the free-space test of Merrell et al. 2007, with points for depth maps.
    """
    assert dense.scales is not None
    found = torch.zeros(len(positions), dtype=torch.bool)
    for view in views:
        around, depths, shown = view.project(dense.positions)
        around, depths = around[shown], depths[shown]
        pixels, own, inside = view.project(positions)
        if len(depths) < _NEIGHBORS or not bool(inside.any()):
            continue
        distances, nearest = cKDTree(around.numpy()).query(pixels[inside].numpy(), k=_NEIGHBORS)
        at = torch.from_numpy(nearest)
        # Patches leave no gaps at twice their radius.
        patches = 2 * dense.scales.double()[shown][at] * view.camera.K[0, 0] / depths[at]
        covers = torch.from_numpy(distances) < patches
        nearer = own[inside, None] < _BEFORE * depths[at]
        found[inside] |= covers.any(-1) & (nearer | ~covers).all(-1)
    return found
