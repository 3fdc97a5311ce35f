"""Fewer triangles: quadric decimation by fast-simplification, made a manifold again afterwards."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError


def simplify(vertices: Tensor, faces: Tensor, budget: int) -> tuple[Tensor, Tensor]:
    """The mesh with about `budget` triangles, or as it is when it has no more. [V, 3] float32, [F, 3] int64.

    No edge of the result has more than two faces. Source: Garland & Heckbert 1997, through fast-simplification.
    """
    if len(faces) <= budget:
        return vertices, faces.long()
    import fast_simplification

    found = fast_simplification.simplify(vertices.float().numpy(), faces.numpy().astype(np.int32), target_count=budget)
    points, index = torch.from_numpy(np.asarray(found[0], np.float32)), torch.from_numpy(np.asarray(found[1], np.int64))
    if not len(index) or not bool(points.isfinite().all()):
        raise ReconError("mesh.faces", found=budget, wanted="enough triangles to keep the shape", fix="raise it")
    return manifold(points, index)


def manifold(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """The mesh without folds, and cut open along edges of three or more faces and at vertices of several fans.

    Cuts double vertices and move nothing, so they cannot be seen. Returns vertices [V', 3] and faces [F', 3] int64.
    """
    index = _without_folds(faces.long()).numpy()
    count, total = len(index), len(vertices)
    start = index.reshape(-1)
    end = np.roll(index, -1, axis=1).reshape(-1)
    # Half edges that meet exactly one other, which runs the other way, hold their faces together.
    key = np.minimum(start, end).astype(np.int64) * total + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    alone = np.unique(key, return_counts=True)
    pairs = set(alone[0][alone[1] == 2].tolist())
    a, b = order[same], order[same + 1]
    good = np.fromiter((k in pairs for k in key[a].tolist()), bool, len(a)) & (start[a] == end[b])
    a, b = a[good], b[good]

    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    def following(half: np.ndarray) -> np.ndarray:
        return half - half % 3 + (half % 3 + 1) % 3

    # Corner h of a face is the start of half edge h. Across a good edge, start of one is the end of the other.
    rows, columns = np.concatenate([a, following(a)]), np.concatenate([following(b), b])
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), (3 * count, 3 * count))
    _, fan = connected_components(graph, directed=False)
    _, first, corner = np.unique(fan, return_index=True, return_inverse=True)
    return vertices[torch.from_numpy(start[first])], torch.from_numpy(corner.reshape(-1, 3).astype(np.int64))


def _without_folds(faces: Tensor) -> Tensor:
    """Without faces that use a vertex twice, and without those that lie on one another."""
    distinct = (faces != faces.roll(1, 1)).all(1)
    faces = faces[distinct]
    _, which, counts = torch.unique(faces.sort(1).values, dim=0, return_inverse=True, return_counts=True)
    return faces[counts[which] == 1]
