"""A few hundred steps on one scene's own pairs of damaged renders and photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors.protocol import Pair
from recon.priors.small.inputs import LAYERS, layers_of
from recon.priors.small.network import Restorer
from recon.priors.small.objective import guess, objective


@config
class AdaptSettings:
    """How the network learns one scene; see `splats.guidance.pairs` for what from."""

    steps: Annotated[int, Field(ge=1)] = 150
    """Steps of Adam."""
    batch: Annotated[int, Field(ge=1)] = 4
    """Crops in a step."""
    crop: Annotated[int, Field(ge=16)] = 96
    """Side of the crops, px; less where pictures are smaller."""
    rate: Annotated[float, Field(gt=0)] = 2e-4
    """Step size; it falls to nothing linearly."""
    harm: Annotated[float, Field(ge=0)] = 0.3
    """Weight of making pixels worse than the render is."""
    seed: Annotated[int, Field(ge=0)] = 0


def adapt(network: Restorer, pairs: Sequence[Pair], settings: AdaptSettings) -> None:
    """Train `network` on crops of `pairs`, mirrored at random; afterwards it is frozen again."""
    generator = torch.Generator().manual_seed(settings.seed)
    planes = [torch.cat([layers_of(pair.request), pair.truth.permute(2, 0, 1)]) for pair in pairs]
    side = min([settings.crop, *(min(one.shape[1:]) for one in planes)]) // network.multiple * network.multiple
    network.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), settings.rate, (0.9, 0.99))
    with torch.enable_grad():
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * (1 - step / settings.steps)
            batch = torch.stack([_crop(planes, side, generator) for _ in range(settings.batch)])
            layers, truth = batch[:, :LAYERS], batch[:, LAYERS:]
            loss = objective(guess(network, layers, truth, generator), layers[:, :3], truth, settings.harm)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    network.requires_grad_(False)


def _crop(planes: Sequence[Tensor], side: int, generator: torch.Generator) -> Tensor:
    def draw(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    one = planes[draw(len(planes))]
    top, left = (draw(length - side + 1) for length in one.shape[1:])
    crop = one[:, top : top + side, left : left + side]
    return crop.flip(2) if draw(2) else crop
