"""Generalized exponentials (Hamdi et al. 2024, GES): Gaussians whose exponent is learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from recon.config import config
from recon.splats.families.family import Rate, Seeds
from recon.splats.families.gaussian import GaussianConfig, GaussianFamily

GAUSSIAN_SHAPE = math.log(1 / 7)  # beta = 1 + 8 sigmoid(shape) = 2


@config
class ExponentialConfig(GaussianConfig):
    """As for Gaussians, and the exponent."""

    form: Literal["exact", "modulated"] = "exact"
    """`exact` is exp(-0.5 m^(beta / 2)) with beta from 1 to 9. `modulated` is what the paper's code draws: a Gaussian
    whose scales are multiplied by 2 sigmoid(0.1 shape); its result is stored as Gaussians."""
    shape_logits_rate: Rate = 5e-2
    """Of the exponent's logit."""


class ExponentialFamily(GaussianFamily):
    """Parameters: those of Gaussians and shape_logits [N]."""

    name = "exponential"
    grow_gradient = 8e-4

    def __init__(self, config: ExponentialConfig) -> None:
        super().__init__(config)
        self.shape = config

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Gaussians."""
        shape = 0.0 if self.shape.form == "modulated" else GAUSSIAN_SHAPE
        params = super().initial_parameters(seeds, opacity, sh_degree)
        return {**params, "shape_logits": torch.full((len(seeds.positions),), shape)}

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        return {**super().learning_rates(extent, progress), "shape_logits": self.shape.shape_logits_rate}

    def rendered(self, params: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
        if self.shape.form == "exact":
            return self.name, dict(params)
        widths = (2 * torch.sigmoid(0.1 * params["shape_logits"])).log()
        gaussians = {name: value for name, value in params.items() if name != "shape_logits"}
        return "gaussian", {**gaussians, "log_scales": params["log_scales"] + widths[:, None]}
