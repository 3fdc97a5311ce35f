"""Opacity decay: what the photos do not keep asking for, fades."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from recon.config import config
from recon.splats.regularizers.regularizer import Regularizer
from recon.splats.state import TrainState


@config
class OpacityDecayConfig:
    """Multiply opacities by a constant after every step. Han et al. 2024 (Binocular3DGS): 0.995 over 30k iterations."""

    remaining: Annotated[float, Field(gt=0, le=1)] = 0.001
    """What a whole run would leave of an opacity that no photo pulls on; 1 switches this off. The default was chosen
    by leaving out training photos."""
    every: Annotated[int, Field(ge=1)] = 10
    """Iterations between two applications, which saves time and changes nothing else."""


_SHORTEST = 2000


class OpacityDecay(Regularizer):
    """o <- o * remaining^(every / iterations), every `every` iterations.

    Runs of fewer than 2000 iterations decay as slowly as one of 2000: Adam cannot answer a faster decay in time.
    """

    def __init__(self, config: OpacityDecayConfig, iterations: int) -> None:
        self.every = config.every
        self.factor = math.exp(math.log(config.remaining) * config.every / max(iterations, _SHORTEST))

    def after_step(self, state: TrainState, progress: float) -> None:
        if (state.iteration + 1) % self.every == 0:
            opacities = state.family.opacities(state.params)
            state.family.set_opacities(state.params, slice(None), opacities * self.factor)
