"""Cameras that are optimised together with the splats: small corrections in a gauge that is fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import rigid

_BETA1, _BETA2, _EPS = 0.9, 0.99, 1e-12


@config
class RefineConfig:
    """Corrections of the training cameras; `poses.refine` says whether there are any."""

    rotation_rate: Annotated[float, Field(ge=0)] = 5e-4
    """Adam's step size of rotations, rad, at the start; it falls to nothing along half a cosine."""
    translation_rate: Annotated[float, Field(ge=0)] = 5e-4
    """The same for centres, in scene extents."""
    start: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the iterations that pass before: the splats have to show something first."""
    end: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the iterations after which the cameras stay."""
    max_rotation_deg: Annotated[float, Field(gt=0)] = 3.0
    """A camera turns no further than this from where it was ..."""
    max_translation: Annotated[float, Field(gt=0)] = 0.05
    """... and moves no further than this, in scene extents."""


@dataclass
class Cameras:
    """Corrections of the training cameras, and Adam's moments of them. All cameras keep their focal lengths."""

    given: Tensor
    """[V, 4, 4] float32 `world_to_camera`, as they came."""
    extent: float
    """The scene's, scene units."""
    delta: Tensor
    """[V, 6]: rotation in the world frame, rad, and shift of the centre in extents."""
    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: Tensor
    """[V] float32, updates of each camera so far."""

    @staticmethod
    def start(given: Sequence[Tensor], extent: float) -> Cameras:
        """No corrections yet."""
        poses = torch.stack([pose.float().cpu() for pose in given])
        zeros = torch.zeros(len(poses), 6)
        return Cameras(poses, extent, zeros.clone(), zeros.clone(), zeros.clone(), torch.zeros(len(poses)))

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds; `given` and `extent` are known anyway."""
        return {name: getattr(self, name) for name in ("delta", "exp_avg", "exp_avg_sq", "steps")}

    def restored(self, tensors: Mapping[str, Tensor]) -> Cameras:
        """These cameras with the corrections that a checkpoint holds."""
        return Cameras(self.given, self.extent, *(tensors[name] for name in self.tensors()))

    def pose(self, index: int) -> Tensor:
        """[4, 4] `world_to_camera` of a camera as it is corrected now."""
        return corrected(self.given[index], self.delta[index], self.extent)

    def step(self, index: int, gradient: Tensor, progress: float, config: RefineConfig) -> None:
        """Correct camera `index` by one Adam step; `gradient` [6] is that of the loss by its delta.

        progress: share of all iterations that are done. The part of the corrections that turns, shifts or scales the
        whole scene is taken out: photos do not tell it from the splats doing the opposite.
        """
        if not config.start <= progress <= config.end or not bool(gradient.isfinite().all()):
            return
        self.steps[index] += 1
        self.exp_avg[index].lerp_(gradient, 1 - _BETA1)
        self.exp_avg_sq[index].lerp_(gradient.square(), 1 - _BETA2)
        count = float(self.steps[index])
        mean = self.exp_avg[index] / (1 - _BETA1**count)
        spread = (self.exp_avg_sq[index] / (1 - _BETA2**count)).sqrt() + _EPS
        # One spread for the three directions of a rotation or a shift: a step then points where the gradient does.
        spread = torch.cat([part.norm().expand(3) / math.sqrt(3) for part in spread.split(3)])
        share = (progress - config.start) / (config.end - config.start)
        fall = 0.5 * (1 + math.cos(math.pi * share))
        rates = torch.tensor([config.rotation_rate] * 3 + [config.translation_rate] * 3)
        self.delta[index] -= fall * rates * mean / spread
        self.delta -= self._gauge(self.delta)
        limits = (math.radians(config.max_rotation_deg), config.max_translation)
        for part, limit in zip(self.delta.split(3, dim=1), limits, strict=True):
            part.mul_((limit / part.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0))

    def _gauge(self, delta: Tensor) -> Tensor:
        """The part of `delta` [V, 6] that is a similarity of all cameras, by least squares."""
        centers = rigid.camera_center(self.given) / self.extent
        centers = centers - centers.mean(0)
        count = len(centers)
        basis = torch.zeros(count, 6, 7)
        for axis in range(3):
            unit = torch.zeros(3)
            unit[axis] = 1.0
            basis[:, axis, axis] = 1.0  # all turn about the middle ...
            basis[:, 3:, axis] = torch.linalg.cross(unit.expand(count, 3), centers)  # ... and move along
            basis[:, 3 + axis, 3 + axis] = 1.0
        basis[:, 3:, 6] = centers
        flat = basis.reshape(6 * count, 7)
        solution = torch.linalg.lstsq(flat, delta.reshape(-1, 1), driver="gelsd").solution
        return (flat @ solution).reshape(count, 6)


def corrected(world_to_camera: Tensor, delta: Tensor, extent: float) -> Tensor:
    """[4, 4] of a camera that turns by delta[:3] (rad, world axes) and whose centre moves by extent * delta[3:]."""
    R = world_to_camera[:3, :3] @ rigid.so3_exp(delta[:3]).T
    center = rigid.camera_center(world_to_camera) + extent * delta[3:]
    return rigid.from_rotation_translation(R, -(R @ center))
