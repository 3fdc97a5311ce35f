"""What a surface should not have: pieces that float, and vertices that no face uses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.geometry import triangles
from recon.geometry.graph import connected


def face_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """[F], square scene units; vertices [V, 3], faces [F, 3]."""
    return triangles.crosses(vertices[faces.long()]).norm(dim=1) / 2


def parts_of(vertex_count: int, faces: Tensor) -> Tensor:
    """[F] int64: which connected part a face belongs to, by shared vertices, counted from 0."""
    index = faces.long().numpy()
    links = np.concatenate([index[:, :2], index[:, 1:]])
    _, part = np.unique(connected(vertex_count, links)[index[:, 0]], return_inverse=True)
    return torch.from_numpy(part.astype(np.int64))


def large_parts(vertices: Tensor, faces: Tensor, share: float) -> Tensor:
    """[F] bool: faces of parts with at least `share` of the area; those of the largest part in any case."""
    if not len(faces):
        return torch.zeros(0, dtype=torch.bool)
    part, areas = parts_of(len(vertices), faces), face_areas(vertices, faces).double()
    total = torch.zeros(int(part.max()) + 1, dtype=torch.float64).index_add_(0, part, areas)
    keep = total >= share * total.sum()
    keep[total.argmax()] = True
    return keep[part]


def compact(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [V'] int64 of the vertices that faces use, in order, and the faces [F, 3] int64 in terms of those."""
    used = torch.zeros(len(vertices), dtype=torch.bool)
    used[faces.long().reshape(-1)] = True
    place = used.cumsum(0) - 1
    return used.nonzero()[:, 0], place[faces.long()]
