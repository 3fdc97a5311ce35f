"""The search for the plane at every pixel of one photo, with the native core's sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from recon.geometry import rigid
from recon.render import gpu
from recon.render.device import choose_device
from recon.render.library import core, kernels, pointer
from recon.scene.nodes import View
from recon.stereo.depth_maps import StereoConfig
from recon.stereo.planes import slopes_of

_WORST = 2.0  # the core's kWorstCost
_TILT = math.radians(60)
_FACING = (0.0, 0.0, -1.0)
_TILTED = [(x * math.sin(_TILT), y * math.sin(_TILT), -math.cos(_TILT)) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
"""Normals of planes to begin with, in camera coordinates. Photos far apart look alike through tilted ones only."""
_TILT_GAIN = 0.2  # of the cost, that a tilted plane must bring: among so many some look alike by chance
_NOT_HERE = 1e6  # cost of what lies outside of the image, so that nobody takes its plane


@dataclass(frozen=True)
class ReducedPhoto:
    """A photo at one resolution."""

    view: View
    rgb: np.ndarray
    valid: np.ndarray

    @staticmethod
    def make(view: View, rgb: np.ndarray, alpha: np.ndarray | None, max_side: int) -> ReducedPhoto:
        valid = np.ones(rgb.shape[:2], bool) if alpha is None else alpha > 0.5
        return ReducedPhoto(view, rgb.astype(np.float32), valid).shrunk(max(1.0, max(rgb.shape[:2]) / max_side))

    def shrunk(self, factor: float) -> ReducedPhoto:
        """The photo with width and height divided by `factor`."""
        camera = self.view.camera
        width, height = max(1, round(camera.width / factor)), max(1, round(camera.height / factor))
        if (width, height) == (camera.width, camera.height):
            return self
        rgb = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        valid = cv2.resize(self.valid.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
        return ReducedPhoto(replace(self.view, camera=camera.resized(width, height)), rgb, valid)

    @property
    def gray(self) -> np.ndarray:
        """[H, W] float32 in [0, 255]."""
        gray: np.ndarray = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY) * np.float32(255)
        return gray


@dataclass(frozen=True)
class MatchedPhoto:
    """A source as the core wants it: grey levels, and the way between its pixels and the reference's."""

    quads: Tensor
    """[H, W] int32: a pixel's grey level and those of its right, lower and lower right neighbours, a byte each."""
    from_ray: Tensor
    """[3, 3] float64: a reference ray, times its depth, to homogeneous pixels here ..."""
    from_center: Tensor
    """[3] ... when this is added."""
    to_reference: Tensor
    """[3, 3]: homogeneous pixels here, times their depth, to such of the reference ..."""
    to_center: Tensor
    """[3] ... when this is added."""

    @staticmethod
    def make(reference: View, source: ReducedPhoto, device: torch.device) -> MatchedPhoto:
        gray = np.clip(source.gray + 0.5, 0, 255).astype(np.uint32)
        right, below = np.roll(gray, -1, 1), np.roll(gray, -1, 0)
        quads = gray | right << 8 | below << 16 | np.roll(right, -1, 0) << 24
        a_to_b = source.view.world_to_camera @ rigid.inverse(reference.world_to_camera)
        b_to_a = rigid.inverse(a_to_b)
        K, K_source = reference.camera.K.double(), source.view.camera.K.double()
        return MatchedPhoto(
            torch.from_numpy(np.ascontiguousarray(quads).view(np.int32)).to(device),
            K_source @ a_to_b[:3, :3],
            K_source @ a_to_b[:3, 3],
            K @ b_to_a[:3, :3] @ K_source.inverse(),
            K @ b_to_a[:3, 3],
        )


class PlaneSearch:
    """The planes of one photo's pixels, kept in maps with a margin (see cuda/include/recon/stereo_args.h)."""

    def __init__(
        self, photo: ReducedPhoto, sources: list[ReducedPhoto], depths: tuple[float, float], config: StereoConfig,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.photo, self.sources, self.config, self.generator = photo, sources, config, generator
        self.device = choose_device(config.device)[0]
        self.smallest, self.largest = 1 / depths[1], 1 / depths[0]
        self.others: list[Tensor] | None = None
        self.small, self.image, self.matched = photo, torch.zeros(0), list[MatchedPhoto]()
        self.planes, self.cost, self.size = torch.zeros(0), torch.zeros(0), (0, 0)

    def coarse_to_fine(self, tick: Callable[[], None]) -> None:
        for level in reversed(range(self.config.levels)):
            self._enter(2.0**level)
            if level == self.config.levels - 1:
                self._begin()
            else:
                self._run(None)
            shake = 0.1 if level == self.config.levels - 1 else 0.03
            for sweep in range(self.config.sweeps + (2 if level == self.config.levels - 1 else 0)):
                self._run(shake * 0.5**sweep)
            tick()

    def settle(self, guesses: Sequence[Tensor]) -> Tensor:
        """At full size, sweeps from the best of the planes [3, H, W] of `guesses`: inverse depth and its slopes.

        Returns the cost [H, W] of the first guess.
        """
        self._enter(1.0)
        self._offer(guesses[0])
        first = self._inside(self.cost).cpu().clone()
        for planes in guesses[1:]:
            self._offer(planes)
        for sweep in range(self.config.sweeps):
            self._run(0.02 * 0.5**sweep)
        return first

    def agree(self, inverse_depths: list[Tensor]) -> None:
        """Sweeps in which the sources' depths count."""
        self.others = inverse_depths
        self._run(None)
        for sweep in range(self.config.geometric_sweeps):
            self._run(0.01 * 0.5**sweep)

    def inverse_depth(self) -> Tensor:
        """[H, W], on the device."""
        return self._inside(self.planes)[0].contiguous()

    def result(self) -> tuple[Tensor, Tensor]:
        """Inverse depth and its slopes [3, H, W], and their cost [H, W]."""
        return self._inside(self.planes).cpu().clone(), self._inside(self.cost).cpu().clone()

    def _enter(self, factor: float) -> None:
        """Make maps for photos shrunk by `factor`, with the planes found so far."""
        before, old_size = self.planes, self.size
        self.small = self.photo.shrunk(factor)
        self.others = None
        margin, height, width = core.STEREO_MARGIN, *self.small.rgb.shape[:2]
        self.size = (height, width)
        shape = (height + 2 * margin, width + 2 * margin + 16)
        bordered = np.pad(self.small.gray, ((margin, margin), (margin, margin + 16)), mode="edge")
        self.image = torch.from_numpy(np.ascontiguousarray(bordered)).to(self.device)
        self.planes = torch.zeros(3, *shape, device=self.device)
        self.cost = torch.full(shape, _NOT_HERE, device=self.device)
        if before.numel():
            old = self._inside_of(before, old_size)
            grown = torch.nn.functional.interpolate(old[None], self.size, mode="nearest")[0]
            grown[1] *= old.shape[2] / width
            grown[2] *= old.shape[1] / height
            self._inside(self.planes).copy_(grown)
        self.matched = [MatchedPhoto.make(self.small.view, other.shrunk(factor), self.device) for other in self.sources]

    def _begin(self) -> None:
        """The best of evenly spaced depths, with planes that face the camera and others that are tilted."""
        camera, (height, width) = self.small.view.camera, self.size
        planes = torch.zeros(3, height, width)
        for normal in (_FACING, *_TILTED):
            slopes = slopes_of(torch.tensor(normal), camera.K.float(), width, height)
            for q in torch.linspace(self.smallest, self.largest, self.config.hypotheses).tolist():
                planes[0], planes[1:] = q, q * slopes
                self._offer(planes, 0.0 if normal == _FACING else _TILT_GAIN)

    def _offer(self, planes: Tensor, gain: float = 0.0) -> None:
        """Take over those of `planes` [3, H, W] whose cost is lower by `gain` than that of what was found so far."""
        before, cost = self.planes.clone(), self.cost.clone()
        self._inside(self.planes).copy_(planes)
        self._run(None)
        better = self.cost < cost - gain
        self.planes = torch.where(better, self.planes, before)
        self.cost = torch.where(better, self.cost, cost)

    def _run(self, shake: float | None) -> None:
        """One sweep; without a shake it only finds the costs."""
        if not self.matched:
            self._inside(self.cost).fill_(_WORST)
            return
        native, camera, (height, width) = core.f32, self.small.view.camera, self.size
        # The same numbers on every device.
        noise = torch.zeros(0) if shake is None else torch.rand(self.planes.shape, generator=self.generator) * 2 - 1
        noise = noise.to(self.device)
        planes, cost = self.planes.clone(), torch.full_like(self.cost, _NOT_HERE)
        args = native.StereoArgs(
            width=width, height=height, stride=self.planes.shape[-1], fx=float(camera.K[0, 0]),
            fy=float(camera.K[1, 1]), cx=float(camera.K[0, 2]), cy=float(camera.K[1, 2]), image=pointer(self.image),
            planes=pointer(self.planes), cost=0 if shake is None else pointer(self.cost),
            noise=0 if shake is None else pointer(noise), planes_out=pointer(planes), cost_out=pointer(cost),
            smallest=self.smallest, largest=self.largest, shake=shake or 0.0, color_sigma=self.config.color_sigma,
            geometric_weight=self.config.geometric_weight, radius=self.config.radius, step=self.config.step,
            best=self.config.best or max(1, (len(self.matched) + 1) // 2), sources=self._native_sources(native),
        )  # fmt: skip
        if self.device.type == "cuda":
            gpu.stereo_sweep(args, self.image)
        else:
            kernels(self.image).stereo_sweep(args)
        self.planes, self.cost = planes, cost

    def _native_sources(self, native: Any) -> list[Any]:
        return [
            native.StereoSource(
                width=one.quads.shape[1],
                height=one.quads.shape[0],
                quads=pointer(one.quads),
                inverse_depth=0 if self.others is None else pointer(self.others[index]),
                from_ray=one.from_ray.flatten().tolist(),
                from_center=one.from_center.tolist(),
                to_reference=one.to_reference.flatten().tolist(),
                to_center=one.to_center.tolist(),
            )
            for index, one in enumerate(self.matched)
        ]

    def _inside(self, maps: Tensor) -> Tensor:
        return self._inside_of(maps, self.size)

    @staticmethod
    def _inside_of(maps: Tensor, size: tuple[int, ...]) -> Tensor:
        margin = core.STEREO_MARGIN
        return maps[..., margin : margin + size[0], margin : margin + size[1]]
