"""Dropout of primitives: none may rely on its neighbours to hide its faults."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.splats.regularizers.regularizer import Regularizer
from recon.splats.state import TrainState


@config
class DropoutConfig:
    """Leave out random primitives when training. Park et al. 2025 (DropGaussian); Xu et al. 2025 (DropoutGS)."""

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share that is left out at the last iteration; it grows linearly from 0. 0 switches this off."""


class Dropout(Regularizer):
    """Each primitive is dropped with probability rate x progress; the others' opacities grow to make up for it."""

    def __init__(self, config: DropoutConfig) -> None:
        self.rate = config.rate

    def render_parameters(self, state: TrainState, params: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        rate = self.rate * progress
        kept = torch.rand(len(state), generator=state.generator) >= rate
        return state.family.faded(params, kept.to(state.device) / (1 - rate))
