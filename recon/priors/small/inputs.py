"""What the small network sees of a request, channel by channel."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.priors.protocol import RepairRequest

LAYERS = 13
"""Render (3), alpha, confidence; the nearest photo that shows a pixel (3) and whether there is one; the next one."""
FIRST, SECOND = slice(5, 9), slice(9, 13)


def layers_of(request: RepairRequest) -> Tensor:
    """[13, H, W] float32 in [0, 1]. Where no photo shows a pixel, its colour is the render's."""
    picked = []
    left = [reference.valid.float() for reference in request.references]
    for _ in range(2):
        color, found = request.render.clone(), torch.zeros_like(request.alpha)
        for k, reference in enumerate(request.references):
            take = left[k] * (1 - found)
            color = torch.lerp(color, reference.warped, take[..., None])
            found = found + take
            left[k] = left[k] - take
        picked += [color, found[..., None]]
    planes = [request.render, request.alpha[..., None], request.confidence[..., None], *picked]
    return torch.cat(planes, -1).permute(2, 0, 1).contiguous()
