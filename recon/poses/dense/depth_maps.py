"""Depth of every pixel of every photo by multi-view stereo: coarse to fine sweeps of the native core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import rigid
from recon.poses.dense.neighbors import choose_sources, depth_range
from recon.render.library import core, kernels, pointer
from recon.scene.nodes import View

_WORST = 2.0
_NOT_HERE = 1e6  # cost of what lies outside of the image, so that nobody takes its plane


@config
class StereoConfig:
    """PatchMatch stereo: planes are propagated between neighbouring pixels, judged by how well two or more photos agree."""

    max_side: Annotated[int, Field(ge=64)] = 640
    """Photos are shrunk until their longer side is at most this, px."""
    sources: Annotated[int, Field(ge=1, le=8)] = 4
    """Other photos to compare a photo with, at most."""
    radius: Annotated[int, Field(ge=1, le=12)] = 4
    """Half the side of the compared windows, px."""
    step: Annotated[int, Field(ge=1, le=4)] = 2
    """Distance of the window's samples, px."""
    sweeps: Annotated[int, Field(ge=1, le=20)] = 3
    """Sweeps per resolution."""
    geometric_sweeps: Annotated[int, Field(ge=0, le=20)] = 2
    """Sweeps in which the depths of the other photos count as well."""
    geometric_weight: Annotated[float, Field(ge=0)] = 0.15
    """Cost of a pixel of disagreement with them; a window that has nothing in common costs 1."""
    color_sigma: Annotated[float, Field(gt=0)] = 30.0
    """Grey levels of difference to the middle of a window at which a pixel counts 1/e."""
    levels: Annotated[int, Field(ge=1, le=6)] = 3
    """Resolutions, each half of the next."""
    hypotheses: Annotated[int, Field(ge=2)] = 64
    """Depths to begin with at the lowest resolution, evenly spaced in inverse depth."""


@dataclass(frozen=True)
class DepthMap:
    """What stereo found in one photo."""

    view: View
    """With the camera of this resolution."""
    inverse_depth: Tensor
    """[H, W] float32, along z, one over scene units."""
    slopes: Tensor
    """[2, H, W] float32, its change per px along x and y."""
    cost: Tensor
    """[H, W] float32 in [0, 2]: 0 where the photos agree, 1 where they have nothing in common."""
    rgb: np.ndarray
    """[H, W, 3] float32 in [0, 1], sRGB."""
    valid: np.ndarray
    """[H, W] bool: the photo counts here."""
    sources: tuple[int, ...]
    """Indices of the photos it was compared with."""


def depth_maps(
    views: Sequence[View],
    images: Sequence[tuple[np.ndarray, np.ndarray | None]],
    points: Tensor,
    config: StereoConfig,
    seed: int,
    progress: Callable[[int, int], None],
) -> list[DepthMap]:
    """Depth maps of `views`, whose photos (rgb [H, W, 3] in [0, 1], and alpha [H, W] or None) are `images`.

    points: [N, 3], what the photos show, for the range of depths and the choice of sources; see `scene_points`.
    progress: called with what is done and what there is to do. The result depends on the arguments alone.
    """
    photos = [_Photo.make(view, rgb, alpha, config.max_side) for view, (rgb, alpha) in zip(views, images, strict=True)]
    sources = choose_sources([photo.view for photo in photos], points, config.sources)
    total = len(photos) * (config.levels + (1 if config.geometric_sweeps else 0))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    generator = torch.Generator().manual_seed(seed)
    searches = [
        _Search(photo, [photos[j] for j in sources[i]], depth_range(points, photo.view), config, generator)
        for i, photo in enumerate(photos)
    ]
    for search in searches:
        search.coarse_to_fine(tick)
    if config.geometric_sweeps:
        found = [search.inverse_depth() for search in searches]
        for i, search in enumerate(searches):
            search.agree([found[j] for j in sources[i]])
            tick()
    return [search.result(tuple(sources[i])) for i, search in enumerate(searches)]


@dataclass(frozen=True)
class _Photo:
    """A photo at one resolution."""

    view: View
    rgb: np.ndarray
    valid: np.ndarray

    @staticmethod
    def make(view: View, rgb: np.ndarray, alpha: np.ndarray | None, max_side: int) -> _Photo:
        valid = np.ones(rgb.shape[:2], bool) if alpha is None else alpha > 0.5
        return _Photo(view, rgb.astype(np.float32), valid).shrunk(max(1.0, max(rgb.shape[:2]) / max_side))

    def shrunk(self, factor: float) -> _Photo:
        """The photo with width and height divided by `factor`."""
        camera = self.view.camera
        width, height = max(1, round(camera.width / factor)), max(1, round(camera.height / factor))
        if (width, height) == (camera.width, camera.height):
            return self
        rgb = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        valid = cv2.resize(self.valid.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5
        return _Photo(replace(self.view, camera=camera.resized(width, height)), rgb, valid)

    @property
    def gray(self) -> np.ndarray:
        """[H, W] float32 in [0, 255]."""
        gray: np.ndarray = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY) * np.float32(255)
        return gray


class _Search:
    """The planes of one photo's pixels, kept in maps with a margin (see cuda/include/recon/stereo_args.h)."""

    def __init__(
        self, photo: _Photo, sources: list[_Photo], depths: tuple[float, float], config: StereoConfig,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.photo, self.sources, self.config, self.generator = photo, sources, config, generator
        self.smallest, self.largest = 1 / depths[1], 1 / depths[0]

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

    def agree(self, inverse_depths: list[Tensor]) -> None:
        """Sweeps in which the sources' depths count."""
        self.others = inverse_depths
        self._run(None)
        for sweep in range(self.config.geometric_sweeps):
            self._run(0.01 * 0.5**sweep)

    def inverse_depth(self) -> Tensor:
        """[H, W]"""
        return self._inside(self.planes)[0].contiguous()

    def result(self, sources: tuple[int, ...]) -> DepthMap:
        planes = self._inside(self.planes)
        return DepthMap(
            self.photo.view, planes[0].clone(), planes[1:].clone(), self._inside(self.cost).clone(),
            self.photo.rgb, self.photo.valid, sources,
        )  # fmt: skip

    def _enter(self, factor: float) -> None:
        """Make maps for photos shrunk by `factor`, with the planes found so far."""
        before = getattr(self, "small", None)
        self.small = self.photo.shrunk(factor)
        self.others: list[Tensor] | None = None
        margin, height, width = core.STEREO_MARGIN, *self.small.rgb.shape[:2]
        self.size = (height, width)
        shape = (height + 2 * margin, width + 2 * margin + 16)
        bordered = np.pad(self.small.gray, ((margin, margin), (margin, margin + 16)), mode="edge")
        self.image = torch.from_numpy(np.ascontiguousarray(bordered))
        old = None if before is None else self._inside_of(self.planes, before.rgb.shape[:2])
        self.planes = torch.zeros(3, *shape)
        self.cost = torch.full(shape, _NOT_HERE)
        if old is not None:
            grown = torch.nn.functional.interpolate(old[None], self.size, mode="nearest")[0]
            grown[1] *= old.shape[2] / width
            grown[2] *= old.shape[1] / height
            self._inside(self.planes).copy_(grown)
        self.matched = [_matched(self.small.view, other.shrunk(factor)) for other in self.sources]

    def _begin(self) -> None:
        """The best of evenly spaced planes that face the camera."""
        best = torch.full(self.size, _WORST + 1)
        planes = torch.zeros(3, *self.size)
        for q in torch.linspace(self.smallest, self.largest, self.config.hypotheses).tolist():
            self._inside(self.planes)[0] = q
            self._run(None)
            cost = self._inside(self.cost)
            better = cost < best
            best, planes[0] = torch.where(better, cost, best), torch.where(better, q, planes[0])
        self._inside(self.planes).copy_(planes)
        self._inside(self.cost).copy_(best)

    def _run(self, shake: float | None) -> None:
        """One sweep; without a shake it only finds the costs."""
        if not self.matched:
            self._inside(self.cost).fill_(_WORST)
            return
        native, camera, (height, width) = kernels(self.image), self.small.view.camera, self.size
        noise = torch.zeros(0) if shake is None else torch.rand(self.planes.shape, generator=self.generator) * 2 - 1
        planes, cost = self.planes.clone(), torch.full_like(self.cost, _NOT_HERE)
        native.stereo_sweep(
            width=width, height=height, stride=self.planes.shape[-1], fx=float(camera.K[0, 0]),
            fy=float(camera.K[1, 1]), cx=float(camera.K[0, 2]), cy=float(camera.K[1, 2]), image=pointer(self.image),
            planes=pointer(self.planes), cost=0 if shake is None else pointer(self.cost),
            noise=0 if shake is None else pointer(noise), planes_out=pointer(planes), cost_out=pointer(cost),
            smallest=self.smallest, largest=self.largest, shake=shake or 0.0, color_sigma=self.config.color_sigma,
            geometric_weight=self.config.geometric_weight, radius=self.config.radius, step=self.config.step,
            best=max(1, (len(self.matched) + 1) // 2), sources=self._native_sources(native),
        )  # fmt: skip
        self.planes, self.cost = planes, cost

    def _native_sources(self, native: Any) -> list[Any]:
        return [
            native.StereoSource(
                width=one["quads"].shape[1], height=one["quads"].shape[0], quads=pointer(one["quads"]),
                inverse_depth=0 if self.others is None else pointer(self.others[index]), **one["matrices"],
            )
            for index, one in enumerate(self.matched)
        ]  # fmt: skip

    def _inside(self, maps: Tensor) -> Tensor:
        return self._inside_of(maps, self.size)

    @staticmethod
    def _inside_of(maps: Tensor, size: tuple[int, ...]) -> Tensor:
        margin = core.STEREO_MARGIN
        return maps[..., margin : margin + size[0], margin : margin + size[1]]


def _matched(reference: View, source: _Photo) -> dict[str, Any]:
    """A source as the core wants it."""
    gray = np.clip(source.gray + 0.5, 0, 255).astype(np.uint32)
    right, below = np.roll(gray, -1, 1), np.roll(gray, -1, 0)
    quads = gray | right << 8 | below << 16 | np.roll(right, -1, 0) << 24
    a_to_b = source.view.world_to_camera @ rigid.inverse(reference.world_to_camera)
    b_to_a = rigid.inverse(a_to_b)
    K, K_source = reference.camera.K.double(), source.view.camera.K.double()
    matrices = {
        "from_ray": K_source @ a_to_b[:3, :3],
        "from_center": K_source @ a_to_b[:3, 3],
        "to_reference": K @ b_to_a[:3, :3] @ K_source.inverse(),
        "to_center": K @ b_to_a[:3, 3],
    }
    return {
        "quads": torch.from_numpy(np.ascontiguousarray(quads).view(np.int32)),
        "matrices": {name: value.flatten().tolist() for name, value in matrices.items()},
    }
