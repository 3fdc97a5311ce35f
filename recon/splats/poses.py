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
    focal: bool = False
    """Correct the focal lengths, too, by one factor on all of them."""
    focal_rate: Annotated[float, Field(ge=0)] = 5e-4
    """Adam's step size of the logarithm of that factor."""
    max_focal: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Focal lengths change by no more than this share."""


@dataclass
class Cameras:
    """Corrections of the training cameras, and Adam's moments of them."""

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
    zoom: Tensor
    """[3] logarithm of the factor on all focal lengths, and Adam's moments of it."""

    @staticmethod
    def start(given: Sequence[Tensor], extent: float) -> Cameras:
        """No corrections yet."""
        poses = torch.stack([pose.float().cpu() for pose in given])
        none = torch.zeros(len(poses), 6)
        steps, zoom = torch.zeros(len(poses)), torch.zeros(3)
        return Cameras(poses, extent, none.clone(), none.clone(), none.clone(), steps, zoom)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds; `given` and `extent` are known anyway."""
        return {name: getattr(self, name) for name in ("delta", "exp_avg", "exp_avg_sq", "steps", "zoom")}

    def restored(self, tensors: Mapping[str, Tensor]) -> Cameras:
        """These cameras with the corrections that a checkpoint holds."""
        return Cameras(self.given, self.extent, *(tensors[name] for name in self.tensors()))

    def pose(self, index: int) -> Tensor:
        """[4, 4] `world_to_camera` of a camera as it is corrected now."""
        return corrected(self.given[index], self.delta[index], self.extent)

    def zoomed(self, K: Tensor) -> Tensor:
        """Intrinsics [..., 3, 3] with the focal lengths as they are corrected now."""
        longer = K.clone()
        longer.diagonal(dim1=-2, dim2=-1)[..., :2] *= self.zoom[0].exp().to(K)
        return longer

    def step(
        self, index: int, gradient: Tensor, progress: float, config: RefineConfig, by_zoom: Tensor | None = None
    ) -> None:
        """Correct camera `index` by one Adam step.

        gradient: [6], of the loss by its delta.   by_zoom: [], by the logarithm of the focal lengths.

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
        if by_zoom is not None and bool(by_zoom.isfinite()):
            self._step_zoom(by_zoom, fall, config)
        self.delta -= self._gauge(self.delta)
        limits = (math.radians(config.max_rotation_deg), config.max_translation)
        for part, limit in zip(self.delta.split(3, dim=1), limits, strict=True):
            part.mul_((limit / part.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1.0))

    def _step_zoom(self, gradient: Tensor, fall: float, config: RefineConfig) -> None:
        value, mean, spread = self.zoom
        mean.lerp_(gradient, 1 - _BETA1)
        spread.lerp_(gradient.square(), 1 - _BETA2)
        count = float(self.steps.sum())
        mean, spread = mean / (1 - _BETA1**count), spread / (1 - _BETA2**count)
        value -= fall * config.focal_rate * mean / (spread.sqrt() + _EPS)
        value.clamp_(-math.log1p(config.max_focal), math.log1p(config.max_focal))

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


def stretched(world_to_camera: Tensor, by: Tensor) -> Tensor:
    """[4, 4] of a camera whose images are exp(by) times as large: what a longer focal length does, as a motion.

    For by = 0 it is the camera itself, and the gradient by `by` is that by the logarithm of the focal length, but for
    what harmonics make of directions; rasterisers give gradients by cameras and not by intrinsics.
    """
    factor = by.exp()
    one = torch.ones_like(factor)
    return torch.stack([factor, factor, one, one])[:, None] * world_to_camera
