"""Removal of floaters: primitives with no other near them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recon.config import config
from recon.geometry.neighbors import neighbor_distances
from recon.splats.regularizers.regularizer import Regularizer
from recon.splats.state import TrainState


@config
class FloatersConfig:
    """Remove primitives whose distance to their nearest others is far above the mean. Yang et al. 2024
    (GaussianObject), sec. 3.2; there of the mean over root N others, here of the root mean square over `neighbors`."""

    deviations: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviations above the mean of all from which a primitive is removed; 0 switches this off."""
    every: Annotated[int, Field(ge=1)] = 500
    """Iterations between two removals."""
    neighbors: Annotated[int, Field(ge=1)] = 16
    """Nearest others to take the distance to."""


class Floaters(Regularizer):
    """Every `every` iterations, d > mean + deviations x standard deviation goes."""

    def __init__(self, config: FloatersConfig) -> None:
        self.config = config

    def after_step(self, state: TrainState, progress: float) -> None:
        if (state.iteration + 1) % self.config.every == 0:
            distances = neighbor_distances(state.centers().cpu(), self.config.neighbors)
            limit = distances.mean() + self.config.deviations * distances.std(correction=0)
            state.keep((distances <= limit).to(state.device))
