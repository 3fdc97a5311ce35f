"""How sure a prior is that only gives pictures: by how much its answers to the same question differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon.priors.pixels import resized
from recon.priors.protocol import Repaired, RepairRequest

_SIGMA = 0.1  # difference of colours, in [0, 1]


def of_samples(request: RepairRequest, pictures: Sequence[Tensor], alone: float) -> Repaired:
    """The mean of pictures [h, w, 3] at the request's size, with confidence exp(-(d / 0.1)^2) of their largest
    difference d from it; of a single picture the confidence is `alone` all over."""
    height, width = request.alpha.shape
    answers = torch.stack([resized(one.float().to(request.render.device), width, height) for one in pictures])
    image = answers.mean(0).clamp(0, 1)
    if len(answers) == 1:
        return Repaired(image, torch.full_like(request.alpha, alone))
    spread = (answers - image).abs().mean(-1).amax(0)
    return Repaired(image, torch.exp(-((spread / _SIGMA) ** 2)))
