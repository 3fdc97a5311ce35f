"""Depth of every pixel of every photo by multi-view stereo: coarse to fine sweeps of the native core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.scene.nodes import View
from recon.stereo.neighbors import choose_sources, depth_range


@config
class StereoConfig:
    """PatchMatch stereo: pixels take over planes from their neighbours, where photos agree on them better."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where planes are searched; the maths is the same."""
    max_side: Annotated[int, Field(ge=64)] = 640
    """Photos are shrunk until their longer side is at most this, px."""
    sources: Annotated[int, Field(ge=1, le=8)] = 4
    """Other photos to compare a photo with, at most."""
    best: Annotated[int, Field(ge=1, le=8)] | None = None
    """Of those, how many a pixel is judged by: the ones that agree best, half of them by default."""
    radius: Annotated[int, Field(ge=1, le=12)] = 4
    """Half the side of the compared windows, px."""
    step: Annotated[int, Field(ge=1, le=4)] = 2
    """Distance of the window's samples, px."""
    sweeps: Annotated[int, Field(ge=1, le=20)] = 4
    """Sweeps per resolution."""
    geometric_sweeps: Annotated[int, Field(ge=0, le=20)] = 4
    """Sweeps in which the depths of the other photos count as well."""
    geometric_weight: Annotated[float, Field(ge=0)] = 0.3
    """Cost of a pixel of disagreement with them; a window that has nothing in common costs 1."""
    color_sigma: Annotated[float, Field(gt=0)] = 30.0
    """Grey levels of difference to the middle of a window at which a pixel counts 1/e."""
    levels: Annotated[int, Field(ge=1, le=6)] = 3
    """Resolutions, each half of the next."""
    hypotheses: Annotated[int, Field(ge=2)] = 64
    """Depths to begin with at the lowest resolution, even in inverse depth, each with planes of several tilts."""


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
    # Loads the native core, which a configuration can be checked without.
    from recon.stereo.search import PlaneSearch, ReducedPhoto

    photos = [
        ReducedPhoto.make(view, rgb, alpha, config.max_side) for view, (rgb, alpha) in zip(views, images, strict=True)
    ]
    sources = choose_sources([photo.view for photo in photos], points, config.sources)
    total = len(photos) * (config.levels + (1 if config.geometric_sweeps else 0))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    generator = torch.Generator().manual_seed(seed)
    searches = [
        PlaneSearch(photo, [photos[j] for j in sources[i]], depth_range(points, photo.view), config, generator)
        for i, photo in enumerate(photos)
    ]
    for search in searches:
        search.coarse_to_fine(tick)
    if config.geometric_sweeps:
        found = [search.inverse_depth() for search in searches]
        for i, search in enumerate(searches):
            search.agree([found[j] for j in sources[i]])
            tick()
    maps = []
    for photo, search, own in zip(photos, searches, sources, strict=True):
        planes, cost = search.result()
        maps.append(DepthMap(photo.view, planes[0], planes[1:], cost, photo.rgb, photo.valid, tuple(own)))
    return maps
