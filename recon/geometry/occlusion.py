"""Which of many points hide others, by cells of the image: a depth buffer for clouds."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_in_cell(pixels: Tensor, depths: Tensor, inside: Tensor, cell: float) -> Tensor:
    """[N] depth of the nearest point in each point's cell of `cell` x `cell` px; infinite where a cell is empty.

    pixels: [N, 2], px; depths: [N]; inside: [N] bool, the points that lie in the image. The others hide nothing.
    """
    column, row = (torch.where(inside[:, None], pixels, torch.zeros_like(pixels)) / cell).long().unbind(-1)
    if not len(depths):
        return depths
    place = row * (int(column.max()) + 1) + column
    far = torch.where(inside, depths, torch.inf)
    nearest = torch.full((int(place.max()) + 1,), torch.inf, dtype=depths.dtype)
    return nearest.scatter_reduce(0, place, far, "amin")[place]
