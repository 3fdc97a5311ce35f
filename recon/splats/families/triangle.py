"""Triangles (Held et al. 2025, Triangle Splatting), and their solid variant that any mesh viewer renders."""

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
from recon.splats.families.surfel import turned
from recon.splats.schedule import log_linear


@config
class TriangleConfig(AppearanceConfig):
    """Step sizes of Adam and the start, chosen like those of convexes."""

    vertices_rate: Rate = 4e-3
    """Times the scene's extent."""
    vertices_final_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01
    """What remains of `vertices_rate` at the last iteration; the decay is exponential."""
    log_sigmas_rate: Rate = 5e-3
    opacity_logits_rate: Rate = 5e-2
    size: Annotated[float, Field(gt=0)] = 5.0
    """Circumradius of the first triangles, times the seeds' size. The paper's 2.23 leaves holes between few points."""
    sigma: Annotated[float, Field(gt=0.01)] = 1.16
    """Softness of the first triangles; near 0 they are solid."""
    solid: bool = False
    """Make the triangles opaque and hard towards the end, so that they can be exported as a mesh. There is no opacity
    decay then."""
    solid_from: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the iterations after which `solid` takes effect."""


class TriangleFamily(AppearanceFamily):
    """Parameters: vertices [N, 3, 3], log_sigmas [N] (sigma = 0.01 + exp), opacity_logits, sh_coeffs."""

    name = "triangle"
    position_parameter = "vertices"
    grow_gradient = 2e-3

    def __init__(self, config: TriangleConfig) -> None:
        super().__init__(config)
        self.config = config

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Equilateral triangles that lie across the seeds' normals, each turned by another angle."""
        n = len(seeds.positions)
        golden = torch.arange(n) * (math.pi * (3 - math.sqrt(5)))
        angles = golden[:, None] + torch.arange(3) * (2 * math.pi / 3)
        flat = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=-1).float()
        corners = flat @ quaternion.to_matrix(turned(seeds.normals)).transpose(-1, -2)
        c = self.config
        return {
            "vertices": seeds.positions[:, None] + c.size * seeds.radii[:, None, None] * corners,
            "log_sigmas": torch.full((n,), math.log(c.sigma - 0.01)),
            **self.appearance_parameters(seeds, opacity, sh_degree),
        }

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        c = self.config
        return {
            "vertices": extent * log_linear(c.vertices_rate, c.vertices_rate * c.vertices_final_ratio, progress),
            "log_sigmas": c.log_sigmas_rate,
            **self.appearance_rates(),
        }

    def sizes(self, params: Mapping[str, Tensor]) -> Tensor:
        """Half the largest distance of a corner from the centre."""
        return half_reach(params["vertices"].detach())

    def split(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The four triangles between the corners and the middles of the edges."""
        v = rows["vertices"]
        middles = (v + v.roll(-1, dims=1)) / 2  # of edges 01, 12, 20
        parts = [torch.stack([v[:, k], middles[:, k], middles[:, k - 1]], dim=1) for k in range(3)]
        return {**repeated(rows, 4), "vertices": torch.cat([*parts, middles])}

    def jitter(self, params: Mapping[str, Tensor], rows: Tensor, amounts: Tensor, generator: torch.Generator) -> None:
        move_within(params["vertices"], rows, amounts, generator)

    def add_penalties(self, params: Mapping[str, Tensor], opacity: float, size: float) -> None:
        self.penalize_opacity(params, opacity)
        penalize_spread(params["vertices"], size)


def half_reach(points: Tensor) -> Tensor:
    """[N], half the largest distance of `points` [N, K, 3] from their mean: about two deviations reach a corner."""
    return (points - points.mean(1, keepdim=True)).norm(dim=-1).amax(1) / 2


def move_within(points: Tensor, rows: Tensor, amounts: Tensor, generator: torch.Generator) -> None:
    """Shift some rows of `points` [N, K, 3] in place by their own covariance x normal x `amounts` [M]."""
    mine = points.detach()[rows]
    offsets = (mine - mine.mean(1, keepdim=True)) / 2
    normal = torch.randn(len(rows), 3, 1, generator=generator).to(points.device)
    shifts = offsets.transpose(-1, -2) @ (offsets @ normal) / mine.shape[1]
    points.data[rows] += (shifts.squeeze(-1) * amounts[:, None])[:, None]


def penalize_spread(points: Tensor, weight: float) -> None:
    """Add the gradient of `weight` x mean half distance of points from their primitive's middle."""
    if not weight or points.grad is None:
        return
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        distances = (leaf - leaf.mean(1, keepdim=True)).norm(dim=-1).clamp_min(1e-12)
        (gradient,) = torch.autograd.grad(weight * distances.mean() / 2, leaf)
    points.grad.add_(gradient)
