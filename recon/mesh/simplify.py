"""Fewer triangles: quadric decimation by fast-simplification, made a manifold again afterwards."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry.graph import connected


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
    return apart(*manifold(points, index))


def manifold(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """The mesh without folds, and cut open along edges of three or more faces and at vertices of several fans.

    Where two sheets touch along an edge, each is sewn together again. Cuts double vertices and move nothing, so they
    cannot be seen. Returns vertices [V', 3] and faces [F', 3] int64.
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

    def following(half: np.ndarray) -> np.ndarray:
        return half - half % 3 + (half % 3 + 1) % 3

    # Corner h of a face is the start of half edge h. Across a good edge, start of one is the end of the other.
    links = np.stack([np.concatenate([a, following(a)]), np.concatenate([following(b), b])], 1)
    touching = _touching(key, start < end)
    while True:
        fan = connected(3 * count, links)
        # Corners at the lower and at the upper end of the edges that four faces share.
        ahead = start[touching] < end[touching]
        corners = np.stack(
            [np.where(ahead, touching, following(touching)), np.where(ahead, following(touching), touching)]
        )
        sewn = _sewn(corners, fan)
        if not len(sewn):
            break
        links = np.concatenate([links, sewn])
    _, first, corner = np.unique(fan, return_index=True, return_inverse=True)
    return vertices[torch.from_numpy(start[first])], torch.from_numpy(corner.reshape(-1, 3).astype(np.int64))


def _touching(key: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """[E, 4] half edges of the edges that four of them share, two of which run ahead: those first, then those back."""
    order = np.lexsort([~ahead, key])
    _, first, counts = np.unique(key[order], return_index=True, return_counts=True)
    found = order[first[counts == 4][:, None] + np.arange(4)]
    return found[(ahead[found] == [True, True, False, False]).all(1)]


def _sewn(corners: np.ndarray, fan: np.ndarray) -> np.ndarray:
    """[S, 2] corners to join, so that two sheets that touch along an edge are whole again.

    corners: [2, E, 4], at either end of each edge, of `_touching`'s half edges. Where the faces at one end make two
    fans of two, those are the sheets; at the other end the corners of one sheet then belong together. An edge whose
    ends both say nothing waits until its neighbours are sewn.
    """
    if not corners.shape[1]:
        return np.zeros((0, 2), np.int64)
    of = fan[corners]
    straight = (of[:, :, 0] == of[:, :, 2]) & (of[:, :, 1] == of[:, :, 3]) & (of[:, :, 0] != of[:, :, 1])
    crossed = (of[:, :, 0] == of[:, :, 3]) & (of[:, :, 1] == of[:, :, 2]) & (of[:, :, 0] != of[:, :, 1])
    found = [np.zeros((0, 2), np.int64)]
    for this, other in ((0, 1), (1, 0)):
        for says, partners in ((straight, (2, 3)), (crossed, (3, 2))):
            for one, partner in zip((0, 1), partners, strict=True):
                pairs = corners[other][says[this]][:, [one, partner]]
                found.append(pairs[fan[pairs[:, 0]] != fan[pairs[:, 1]]])
        if any(map(len, found)):
            break  # what the other ends say may be another thing now
    return np.concatenate(found)


def apart(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """The mesh with vertices that lie on one another moved a thousandth of the way into their own faces.

    Programs that join equal vertices, and formats that have no others, would undo the cuts of `manifold`.
    """
    _, which, counts = torch.unique(vertices, dim=0, return_inverse=True, return_counts=True)
    doubled = counts[which] > 1
    total, number = torch.zeros_like(vertices), torch.zeros(len(vertices), 1)
    middles = vertices[faces].mean(1)
    for k in range(3):
        total.index_add_(0, faces[:, k], middles)
        number.index_add_(0, faces[:, k], torch.ones(len(faces), 1))
    inward = total / number.clamp(min=1) - vertices
    return vertices + torch.where(doubled[:, None], 1e-3 * inward, 0), faces


def _without_folds(faces: Tensor) -> Tensor:
    """Without faces that use a vertex twice, and without those that lie on one another."""
    distinct = (faces != faces.roll(1, 1)).all(1)
    faces = faces[distinct]
    _, which, counts = torch.unique(faces.sort(1).values, dim=0, return_inverse=True, return_counts=True)
    return faces[counts[which] == 1]
