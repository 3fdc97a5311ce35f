"""What all families have in common: an opacity and harmonics per primitive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import spherical_harmonics
from recon.splats.families.family import Rate, Seeds


@config
class AppearanceConfig:
    """Step sizes of Adam for what every family has; the defaults are those of the 3D Gaussian Splatting paper."""

    opacity_logits_rate: Rate = 5e-2
    sh_rate: Rate = 2.5e-3
    """For the colour that does not depend on the direction."""
    sh_rest_divisor: Annotated[float, Field(gt=0)] = 20.0
    """Harmonics of band 1 and above step this much more slowly."""


class AppearanceFamily:
    """The part of `Family` that concerns `opacity_logits` [N] and `sh_coeffs` [N, K, 3]."""

    opacity_parameter = "opacity_logits"

    def __init__(self, config: AppearanceConfig) -> None:
        self.appearance = config

    def appearance_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """One opacity for all, the seeds' colours from every side."""
        n = len(seeds.positions)
        sh_coeffs = torch.zeros(n, spherical_harmonics.count(sh_degree), 3)
        sh_coeffs[:, 0] = spherical_harmonics.from_rgb(seeds.colors)
        return {"opacity_logits": torch.full((n,), math.log(opacity / (1 - opacity))), "sh_coeffs": sh_coeffs}

    def appearance_rates(self) -> dict[str, float | tuple[float, float]]:
        """Step sizes, see `Family.learning_rates`."""
        c = self.appearance
        return {"opacity_logits": c.opacity_logits_rate, "sh_coeffs": (c.sh_rate, c.sh_rate / c.sh_rest_divisor)}

    def opacities(self, params: Mapping[str, Tensor]) -> Tensor:
        return params["opacity_logits"].detach().sigmoid()

    def set_opacities(self, params: Mapping[str, Tensor], rows: Tensor | slice, values: Tensor) -> None:
        params["opacity_logits"].data[rows] = torch.logit(values, eps=1e-6)

    def faded(self, params: Mapping[str, Tensor], factors: Tensor) -> dict[str, Tensor]:
        opacities = params["opacity_logits"].sigmoid() * factors
        return {**params, "opacity_logits": torch.logit(opacities, eps=1e-6)}

    def shared_opacity(self, rows: Mapping[str, Tensor], copies: Tensor) -> Tensor:
        """Logits [M] such that `copies` [M] of each on top of one another let as much through as one did before."""
        before = rows["opacity_logits"].double().sigmoid()
        after = -torch.expm1(torch.log1p(-before.clamp(max=1 - 1e-6)) / copies)
        return torch.logit(after.clamp(0.005, 1 - 1e-6)).float()

    def shared(self, rows: Mapping[str, Tensor], copies: Tensor) -> dict[str, Tensor]:
        return {**rows, "opacity_logits": self.shared_opacity(rows, copies)}

    def penalize_opacity(self, params: Mapping[str, Tensor], weight: float) -> None:
        """Add the gradient of `weight` x mean opacity."""
        gradient = params["opacity_logits"].grad
        if weight and gradient is not None:
            opacities = self.opacities(params)
            gradient.add_(opacities * (1 - opacities), alpha=weight / opacities.numel())

    def rendered(self, params: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
        return self.name, dict(params)  # type: ignore[attr-defined]


def repeated(rows: Mapping[str, Tensor], times: int) -> dict[str, Tensor]:
    """All rows `times` times: first all of them once, then all again, ..."""
    return {name: value.repeat(times, *([1] * (value.ndim - 1))) for name, value in rows.items()}
