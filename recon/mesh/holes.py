"""Small openings of a surface, closed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def fill_holes(vertices: Tensor, faces: Tensor, values: Tensor, longest: float) -> tuple[Tensor, Tensor, Tensor]:
    """The surface without openings whose rim is at most `longest` long: vertices, faces and values, the new ones last.

    vertices: [V, 3]; faces: [F, 3], wound alike; values: [V, C], of which a new vertex has the rim's mean. An opening
    gets a vertex in the middle of its rim and a fan around it. Rims that touch themselves or each other stay.
    """
    added: list[Tensor] = []
    rings: list[Tensor] = []
    for rim in rims(faces):
        around = torch.tensor(rim)
        place = vertices[around]
        if float((place - place.roll(-1, 0)).norm(dim=1).sum()) > longest:
            continue
        if len(rim) == 3:
            added.append(around.flip(0)[None])
            continue
        middle = torch.full((len(rim),), len(vertices) + len(rings))
        added.append(torch.stack([around.roll(-1), around, middle], 1))
        rings.append(around)
    if not added:
        return vertices, faces, values
    filled = torch.cat([faces, *(part.to(faces.dtype) for part in added)])
    return (
        torch.cat([vertices, *(vertices[ring].mean(0, keepdim=True) for ring in rings)]),
        filled,
        torch.cat([values, *(values[ring].mean(0, keepdim=True) for ring in rings)]),
    )


def rims(faces: Tensor) -> list[list[int]]:
    """Loops of vertices around openings, along the faces' own direction; without those that meet at a vertex."""
    index = faces.numpy()
    start, end = index.reshape(-1), np.roll(index, -1, axis=1).reshape(-1)
    total = int(index.max()) + 1 if len(index) else 0
    key, back = start.astype(np.int64) * total + end, end.astype(np.int64) * total + start
    open_edges = ~np.isin(key, back)
    start, end = start[open_edges], end[open_edges]
    ends, counts = np.unique(np.concatenate([start, end]), return_counts=True)
    crowded = set(ends[counts != 2].tolist())
    following = dict(zip(start.tolist(), end.tolist(), strict=True))
    found = []
    while following:
        first, at = following.popitem()
        rim = [first]
        while at != first and at in following:
            rim.append(at)
            at = following.pop(at)
        if at == first and len(rim) > 2 and not crowded.intersection(rim):
            found.append(rim)
    return found
