"""Binocular consistency: what a camera moved a little sideways sees must fit the photo."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry.camera import pixel_grid
from recon.splats.regularizers.regularizer import Drawn, Regularizer
from recon.splats.state import TrainState


@config
class BinocularConfig:
    """Render from a camera moved along its own x axis, warp that by the depth, compare it with the photo. Han et al.
    2024 (Binocular3DGS), eqs. 4 to 6."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean absolute difference in the loss; 0 switches this off."""
    start: Annotated[float, Field(ge=0, le=1)] = 0.67
    """Share of the iterations after which it begins: depths must be about right before."""
    baseline: Annotated[float, Field(gt=0)] = 0.1
    """Largest distance that the camera is moved by, either way, times the scene's extent."""


class Binocular(Regularizer):
    """Adds mean |warp(render of the moved camera) - photo|, differentiable in the render and in the depth."""

    def __init__(self, config: BinocularConfig) -> None:
        self.config = config

    def wants_depth(self, progress: float) -> bool:
        return progress >= self.config.start

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        depth, photo = drawn.render.depth, drawn.photo
        if progress < self.config.start or depth is None:
            return None
        shift = (2 * float(torch.rand((), generator=state.generator)) - 1) * self.config.baseline * state.extent
        moved = photo.world_to_camera.clone()
        moved[0, 3] -= shift
        other = drawn.again(moved)
        # A point at depth z appears f shift / z to the left in the moved camera.
        width, height = photo.width, photo.height
        disparity = photo.K[0, 0] * shift / depth.clamp_min(1e-3 * state.extent)
        grid = pixel_grid(width, height).to(depth.device)
        x = (grid[..., 0] - disparity) * (2 / width) - 1
        y = grid[..., 1] * (2 / height) - 1
        warped = torch.nn.functional.grid_sample(
            other.color.permute(2, 0, 1)[None], torch.stack([x, y], -1)[None], padding_mode="border",
            align_corners=False,
        )[0].permute(1, 2, 0)  # fmt: skip
        inside = (x.abs() <= 1) & (drawn.render.alpha.detach() > 0.5)
        counts = inside.float() if photo.weight is None else inside.float() * photo.weight
        difference = (warped - photo.target(drawn.background)).abs().mean(-1)
        return self.config.weight * (difference * counts).sum() / counts.sum().clamp_min(1)
