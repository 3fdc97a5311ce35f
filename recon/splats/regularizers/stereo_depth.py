"""Depth from stereo as a robust term: splats stay where photos agreed on a surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import rigid
from recon.geometry.camera import project
from recon.geometry.occlusion import nearest_in_cell
from recon.scene.nodes import Points, View
from recon.splats.regularizers.regularizer import Drawn, Regularizer
from recon.splats.state import TrainState

_LARGEST = 4.0  # px; what looks larger fills a gap between the points that stereo found
_CELL = 4.0  # px, side of the squares in which what lies behind the nearest point is hidden by it
_BEHIND = 0.02  # share of the depth


@config
class StereoDepthConfig:
    """Compare the splats' depth with that of the dense points that a photo shows."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean relative difference in the loss; 0 switches this off."""
    limit: Annotated[float, Field(gt=0)] = 0.1
    """Relative difference from which a point pulls no more: one of the two is on another surface."""
    until: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the iterations after which it ends."""


class StereoDepth(Regularizer):
    """Adds weight x mean min(|depth / z - 1|, limit) over the dense points in view, z their depth."""

    def __init__(self, config: StereoDepthConfig, points: Points, views: Sequence[View]) -> None:
        self.config = config
        self.seen = {view.name: _seen(points, view) for view in views}

    def wants_depth(self, progress: float) -> bool:
        return progress < self.config.until

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        photo, depth = drawn.photo, drawn.render.depth
        if not self.wants_depth(progress) or depth is None:
            return None
        local = rigid.transform_points(photo.world_to_camera, self.seen[photo.name].to(photo.K))
        x, y = project(local, photo.K).long().unbind(-1)
        # Cameras that are refined may lose a point at the border.
        inside = (local[:, 2] > 0) & (x >= 0) & (x < photo.width) & (y >= 0) & (y < photo.height)
        if not bool(inside.any()):
            return None
        error = (depth[y[inside], x[inside]] / local[inside, 2] - 1).abs()
        return self.config.weight * error.clamp(max=self.config.limit).mean()


def _seen(points: Points, view: View) -> Tensor:
    """[M, 3] float32, the dense points that nothing hides from `view`."""
    assert points.scales is not None
    pixels, depths, inside = view.project(points.positions)
    small = points.scales.double() * view.camera.K[0, 0] <= _LARGEST * depths
    inside = inside & small
    hidden = depths > (1 + _BEHIND) * nearest_in_cell(pixels, depths, inside, _CELL)
    return points.positions[inside & ~hidden].float()
