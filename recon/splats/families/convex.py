"""3D smooth convexes (Held et al. 2025, 3DCS)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.splats.families.base import AppearanceConfig, AppearanceFamily, repeated
from recon.splats.families.family import Rate, Seeds
from recon.splats.families.triangle import half_reach, move_within, penalize_spread
from recon.splats.schedule import log_linear


@config
class ConvexConfig(AppearanceConfig):
    """Step sizes of Adam and the start. The paper's are for long runs over many photos; these were chosen on
    short ones over few, by leaving out training photos."""

    num_points: Annotated[int, Field(ge=3, le=8)] = 6
    """Points of each hull."""
    points_rate: Rate = 2e-3
    """Times the scene's extent."""
    points_final_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01
    """What remains of `points_rate` at the last iteration; the decay is exponential."""
    log_deltas_rate: Rate = 1.5e-2
    log_sigmas_rate: Rate = 1.5e-2
    opacity_logits_rate: Rate = 5e-2
    size: Annotated[float, Field(gt=0)] = 1.8
    """Radius of the sphere that the first points lie on, times the seeds' size."""
    edge_width: Annotated[float, Field(gt=0)] = 1.0
    """Distance over which the alpha of the first convexes falls by a factor e, as a share of their radius."""
    roundness: Annotated[float, Field(gt=0)] = 3.0
    """How sharply the first convexes' corners are cut: z delta L between rim and middle."""


class ConvexFamily(AppearanceFamily):
    """Parameters: points [N, K, 3], log_deltas [N], log_sigmas [N], opacity_logits, sh_coeffs."""

    name = "convex"
    position_parameter = "points"
    grow_gradient = 1e-3

    def __init__(self, config: ConvexConfig) -> None:
        super().__init__(config)
        self.config = config

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Points on a Fibonacci sphere. Smoothness from sizes on the image, so that near and far ones look alike.

        With r the radius on the image of a camera of focal length 1000 px, an edge is about as long as r and L about
        r^2 between rim and middle: z delta = roundness / r^2 and z sigma = 1 / (roundness x edge_width).
        """
        c = self.config
        index = torch.arange(c.num_points) + 0.5
        z = 1 - 2 * index / c.num_points
        ring, angle = (1 - z * z).sqrt(), index * (math.pi * (3 - math.sqrt(5)))
        sphere = torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=-1).float()
        depths = seeds.depths
        radius = 1000 * c.size * seeds.radii / depths
        return {
            "points": seeds.positions[:, None] + c.size * seeds.radii[:, None, None] * sphere,
            "log_deltas": (c.roundness / (depths * radius**2)).log(),
            "log_sigmas": (1 / (depths * c.roundness * c.edge_width)).log(),
            **self.appearance_parameters(seeds, opacity, sh_degree),
        }

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        c = self.config
        return {
            "points": extent * log_linear(c.points_rate, c.points_rate * c.points_final_ratio, progress),
            "log_deltas": c.log_deltas_rate,
            "log_sigmas": c.log_sigmas_rate,
            **self.appearance_rates(),
        }

    def sizes(self, params: Mapping[str, Tensor]) -> Tensor:
        """Half the largest distance of a point from the centre."""
        return half_reach(params["points"].detach())

    def split(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Two copies 0.63 times as large, shrunk towards the two points that are farthest apart; areas shrink by 0.4.

        The paper makes one at every point; two keep the number of primitives in hand.
        """
        points = rows["points"]
        apart = torch.cdist(points, points).flatten(1).argmax(1)
        count, every = points.shape[1], torch.arange(len(points), device=points.device)
        anchors = torch.cat([points[every, apart // count], points[every, apart % count]])
        children = repeated(rows, 2)
        children["points"] = anchors[:, None] + 0.63 * (children["points"] - anchors[:, None])
        children["log_deltas"] = children["log_deltas"] - 2 * math.log(0.63)  # as sharp relative to its size as before
        return children

    def jitter(self, params: Mapping[str, Tensor], rows: Tensor, amounts: Tensor, generator: torch.Generator) -> None:
        move_within(params["points"], rows, amounts, generator)

    def add_penalties(self, params: Mapping[str, Tensor], opacity: float, size: float) -> None:
        self.penalize_opacity(params, opacity)
        penalize_spread(params["points"], size)
