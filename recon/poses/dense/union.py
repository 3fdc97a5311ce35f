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
_NEAREST = 0.01  # share of a photo's dense points that may be nearer than what counts as its nearest surface


def with_sparse(dense: Points, sparse: Points | None, views: Sequence[View], cut_out: bool = False) -> Points:
    """`dense` and those of `sparse` that lie in its gaps, as large as the distance to their nearest sparse points.

    Stereo has nothing to say about what it cannot match; the few points there, which are large, keep splats from having
    to grow into the void. None of them may lie before the nearest surface of a photo: that is a wrong match, a haze
    before the lens that the photo itself explains by it as well as by what is far away, and its neighbours do not.

    cut_out: the photos show an object alone. Their outlines forbid what is before it, and what juts out of it (the
    bunny's ears) is nearer than all that stereo matched, and right.
    """
    assert dense.normals is not None and dense.scales is not None
    if sparse is None or len(sparse.positions) <= _NEIGHBORS or len(dense.positions) == 0:
        return dense
    positions = sparse.positions.double().numpy()
    distances, nearest = cKDTree(dense.positions.double().numpy()).query(positions)
    lonely = torch.from_numpy(distances) > _GAP * dense.scales.double()[torch.from_numpy(nearest)]
    if not cut_out:
        lonely &= ~_too_near(dense.positions, sparse.positions, views)
    sizes = neighbor_distances(sparse.positions, _NEIGHBORS)
    added = sparse.positions[lonely].float()
    _, sight = nearest_centers(added, torch.stack([view.center for view in views]).float())
    return Points(
        torch.cat([dense.positions, added]),
        torch.cat([dense.colors, sparse.colors[lonely].float()]),
        torch.cat([dense.normals, torch.nn.functional.normalize(sight, dim=-1)]),
        torch.cat([dense.scales, sizes[lonely].clamp_min(1e-12)]),
    )


def _too_near(dense: Tensor, positions: Tensor, views: Sequence[View]) -> Tensor:
    """[N] bool: those of `positions` [N, 3] that a view shows nearer than nearly all it shows of `dense` [M, 3]."""
    near = torch.zeros(len(positions), dtype=torch.bool)
    for view in views:
        _, known, seen = view.project(dense)
        _, depths, inside = view.project(positions)
        surfaces = known[seen].sort().values
        if len(surfaces):
            near |= inside & (depths < surfaces[int(_NEAREST * len(surfaces))])
    return near
