"""3D Gaussians (Kerbl et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import quaternion
from recon.splats.families.base import AppearanceConfig, AppearanceFamily, repeated
from recon.splats.families.family import Rate, Seeds
from recon.splats.schedule import log_linear

_MAX_COPIES = 51  # beyond it the binomial sum below loses its digits; the reference implementation stops there too


@config
class GaussianConfig(AppearanceConfig):
    """Step sizes of Adam; the defaults are those of the 3D Gaussian Splatting paper."""

    means_rate: Rate = 1.6e-4
    """Times the scene's extent."""
    means_final_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01
    """What remains of `means_rate` at the last iteration; the decay is exponential."""
    log_scales_rate: Rate = 5e-3
    quats_rate: Rate = 1e-3


class GaussianFamily(AppearanceFamily):
    """Parameters: means, quats, log_scales, opacity_logits, sh_coeffs, as in `Splats`."""

    name = "gaussian"
    position_parameter = "means"
    grow_gradient = 2e-4

    def __init__(self, config: GaussianConfig) -> None:
        super().__init__(config)
        self.config = config

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Isotropic Gaussians with standard deviation `seeds.radii`."""
        n = len(seeds.positions)
        return {
            "means": seeds.positions.clone(),
            "quats": torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
            "log_scales": seeds.radii.log()[:, None].repeat(1, 3),
            **self.appearance_parameters(seeds, opacity, sh_degree),
        }

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        c = self.config
        return {
            "means": extent * log_linear(c.means_rate, c.means_rate * c.means_final_ratio, progress),
            "quats": c.quats_rate,
            "log_scales": c.log_scales_rate,
            **self.appearance_rates(),
        }

    def sizes(self, params: Mapping[str, Tensor]) -> Tensor:
        return params["log_scales"].detach().amax(-1).exp()

    def split(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Two samples of each Gaussian, 1.6 times smaller. Source: Kerbl et al. 2023, sec. 5.2."""
        scales = rows["log_scales"].exp().repeat(2, 1)
        normal = torch.randn(scales.shape, generator=generator).to(scales.device)
        # A flat family has two axes.
        rotations = quaternion.to_matrix(rows["quats"]).repeat(2, 1, 1)[..., : scales.shape[1]]
        children = repeated(rows, 2)
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
        variances = (2 * params["log_scales"].detach()[rows]).exp()
        axes = quaternion.to_matrix(params["quats"].detach()[rows])[..., : variances.shape[1]]
        normal = torch.randn(len(rows), 3, generator=generator).to(axes.device)
        local = variances * (axes.transpose(-1, -2) @ normal[..., None]).squeeze(-1)
        params["means"].data[rows] += (axes @ local[..., None]).squeeze(-1) * amounts[:, None]

    def add_penalties(self, params: Mapping[str, Tensor], opacity: float, size: float) -> None:
        self.penalize_opacity(params, opacity)
        v_log_scales = params["log_scales"].grad
        if size and v_log_scales is not None:
            v_log_scales.add_(params["log_scales"].detach().exp(), alpha=size / v_log_scales.numel())
