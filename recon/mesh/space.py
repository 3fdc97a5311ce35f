"""Where the lattice lives: the world as it is, or with what lies far from the photos' subject drawn in.

Photos of a room or of a place show their subject in detail and all else coarsely. A lattice of equal cubes would spend
itself on the walls. With r the distance from the subject in units of its radius, points beyond r = 1 move to
1 + ln r: a voxel's size then grows in proportion to the distance, about as the size of what a pixel sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.mesh.views import SurfaceView


@dataclass(frozen=True)
class Space:
    """The lattice's coordinates: scene units within the radius of the centre, logarithmic beyond."""

    center: Tensor
    """[3], world."""
    radius: float
    """Scene units; infinity leaves the world as it is."""

    @staticmethod
    def plain() -> Space:
        """The world itself."""
        return Space(torch.zeros(3), float("inf"))

    @staticmethod
    def around_subject(views: Sequence[SurfaceView]) -> Space:
        """Around what the views' middles show, as large as what they show of it across."""
        found, sizes = [], []
        for view in views:
            h, w = view.height, view.width
            middle = view.depth[h // 3 : h - h // 3, w // 3 : w - w // 3]
            if bool((middle > 0).any()):
                depth = middle[middle > 0].median()
                found.append(view.center + depth * view.world_to_camera[2, :3])
                sizes.append(depth * min(h, w) / (2 * view.K[0, 0]))
        if not found:
            return Space.plain()
        return Space(torch.stack(found).median(0).values, float(torch.stack(sizes).median()))

    def to_world(self, points: Tensor) -> Tensor:
        """Lattice coordinates [..., 3] to the world; differentiable."""
        if self.radius == float("inf"):
            return points
        offset = points - self.center
        r = offset.norm(dim=-1, keepdim=True) / self.radius
        outside = r.clamp(min=1)
        return self.center + offset * torch.where(r > 1, (outside - 1).exp() / outside, 1)

    def from_world(self, points: Tensor) -> Tensor:
        """The inverse of `to_world`."""
        if self.radius == float("inf"):
            return points
        offset = points - self.center
        r = offset.norm(dim=-1, keepdim=True) / self.radius
        outside = r.clamp(min=1)
        return self.center + offset * torch.where(r > 1, (1 + outside.log()) / outside, 1)

    def shrinkage(self, points: Tensor) -> Tensor:
        """[...] how long one scene unit at the world `points` [..., 3] is in the lattice, at most 1, radially."""
        if self.radius == float("inf"):
            return points.new_ones(points.shape[:-1])
        return 1 / ((points - self.center).norm(dim=-1) / self.radius).clamp(min=1)
