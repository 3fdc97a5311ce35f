"""3D Gaussians (Kerbl et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import quaternion, spherical_harmonics
from recon.splats.families.family import Seeds
from recon.splats.schedule import log_linear

Rate = Annotated[float, Field(ge=0)]

_MAX_COPIES = 51  # beyond it the binomial sum below loses its digits; the reference implementation stops there too


@config
class GaussianConfig:
    """Step sizes of Adam; the defaults are those of the 3D Gaussian Splatting paper."""

    means_rate: Rate = 1.6e-4
    """Times the scene's extent."""
    means_final_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01
    """What remains of `means_rate` at the last iteration; the decay is exponential."""
    log_scales_rate: Rate = 5e-3
    quats_rate: Rate = 1e-3
    opacity_logits_rate: Rate = 5e-2
    sh_rate: Rate = 2.5e-3
    """For the colour that does not depend on the direction."""
    sh_rest_divisor: Annotated[float, Field(gt=0)] = 20.0
    """Harmonics of band 1 and above step this much more slowly."""


class GaussianFamily:
    """Parameters: means, quats, log_scales, opacity_logits, sh_coeffs, as in `Splats`."""

    name = "gaussian"
    opacity_parameter = "opacity_logits"
    position_parameter = "means"

    def __init__(self, config: GaussianConfig) -> None:
        self.config = config

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Isotropic Gaussians with standard deviation `seeds.radii`."""
        n = len(seeds.positions)
        sh_coeffs = torch.zeros(n, spherical_harmonics.count(sh_degree), 3)
        sh_coeffs[:, 0] = spherical_harmonics.from_rgb(seeds.colors)
        return {
            "means": seeds.positions.clone(),
            "quats": torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
            "log_scales": seeds.radii.log()[:, None].repeat(1, 3),
            "opacity_logits": torch.full((n,), math.log(opacity / (1 - opacity))),
            "sh_coeffs": sh_coeffs,
        }

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        c = self.config
        return {
            "means": extent * log_linear(c.means_rate, c.means_rate * c.means_final_ratio, progress),
            "quats": c.quats_rate,
            "log_scales": c.log_scales_rate,
            "opacity_logits": c.opacity_logits_rate,
            "sh_coeffs": (c.sh_rate, c.sh_rate / c.sh_rest_divisor),
        }

    def opacities(self, params: Mapping[str, Tensor]) -> Tensor:
        return params["opacity_logits"].detach().sigmoid()

    def set_opacities(self, params: Mapping[str, Tensor], rows: Tensor | slice, values: Tensor) -> None:
        params["opacity_logits"].data[rows] = torch.logit(values, eps=1e-6)

    def faded(self, params: Mapping[str, Tensor], factors: Tensor) -> dict[str, Tensor]:
        opacities = params["opacity_logits"].sigmoid() * factors
        return {**params, "opacity_logits": torch.logit(opacities, eps=1e-6)}

    def sizes(self, params: Mapping[str, Tensor]) -> Tensor:
        return params["log_scales"].detach().amax(-1).exp()

    def split(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Two samples of each Gaussian, 1.6 times smaller. Source: Kerbl et al. 2023, sec. 5.2."""
        scales = rows["log_scales"].exp().repeat(2, 1)
        normal = torch.randn(scales.shape, generator=generator)
        rotations = quaternion.to_matrix(rows["quats"]).repeat(2, 1, 1)
        children = {name: value.repeat(2, *([1] * (value.ndim - 1))) for name, value in rows.items()}
        children["means"] = children["means"] + (rotations @ (scales * normal)[..., None]).squeeze(-1)
        children["log_scales"] = children["log_scales"] - math.log(1.6)
        return children

    def shared(self, rows: Mapping[str, Tensor], copies: Tensor) -> dict[str, Tensor]:
        """Opacity 1 - (1 - o)^(1/n), scale by the ratio of the integrals along a ray. Kheradmand et al. 2024, eq. 9."""
        copies = copies.clamp(1, _MAX_COPIES)
        before = rows["opacity_logits"].double().sigmoid()
        after = -torch.expm1(torch.log1p(-before.clamp(max=1 - 1e-6)) / copies)
        # Every term of the inner sum by one table: i = 1..n, k = 0..i-1, C(i-1, k) (-1)^k o^(k+1) / sqrt(k+1).
        top = int(copies.max()) if len(copies) else 1
        denominator = torch.zeros_like(after)
        for i in range(1, top + 1):
            term = torch.zeros_like(after)
            for k in range(i):
                term += math.comb(i - 1, k) * (-1.0) ** k / math.sqrt(k + 1) * after ** (k + 1)
            denominator += torch.where(copies >= i, term, 0.0)
        ratio = before / denominator
        return {
            **rows,
            "opacity_logits": torch.logit(after.clamp(0.005, 1 - 1e-6)).float(),
            "log_scales": rows["log_scales"] + ratio.log().float()[:, None],
        }

    def jitter(self, params: Mapping[str, Tensor], rows: Tensor, amounts: Tensor, generator: torch.Generator) -> None:
        axes = quaternion.to_matrix(params["quats"].detach()[rows])
        variances = (2 * params["log_scales"].detach()[rows]).exp()
        normal = torch.randn(len(rows), 3, generator=generator)
        local = variances * (axes.transpose(-1, -2) @ normal[..., None]).squeeze(-1)
        params["means"].data[rows] += (axes @ local[..., None]).squeeze(-1) * amounts[:, None]

    def add_penalties(self, params: Mapping[str, Tensor], opacity: float, size: float) -> None:
        v_logits, v_log_scales = params["opacity_logits"].grad, params["log_scales"].grad
        if opacity and v_logits is not None:
            opacities = self.opacities(params)
            v_logits.add_(opacities * (1 - opacities), alpha=opacity / opacities.numel())
        if size and v_log_scales is not None:
            v_log_scales.add_(params["log_scales"].detach().exp(), alpha=size / v_log_scales.numel())
