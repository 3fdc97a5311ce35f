"""Depth maps to one cloud of points: what other photos confirm is kept, once, with a colour, a normal and a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry.camera import pixel_grid
from recon.scene.nodes import Points
from recon.stereo.depth_maps import DepthMap
from recon.stereo.planes import plane_normals


@config
class FusionConfig:
    """Which pixels of the depth maps become points."""

    max_pixel_error: Annotated[float, Field(gt=0)] = 1.0
    """A photo confirms a pixel when its own depth leads back to within this of it, px."""
    max_depth_error: Annotated[float, Field(gt=0)] = 0.01
    """And when the two depths differ by at most this share."""
    max_cost: Annotated[float, Field(gt=0, le=2)] = 0.25
    """Largest `DepthMap.cost` of a pixel that one photo confirms; twice that where two or more do. Few photos far
    apart agree on much that is wrong, and hardly ever well."""
    max_points: Annotated[int, Field(ge=1)] = 25_000
    """Points to keep; more are thinned at random, and the rest grow to fill the gaps."""


def fuse(maps: Sequence[DepthMap], config: FusionConfig, seed: int) -> Points:
    """Points in world coordinates, float32; none where nothing is confirmed.

    A point is the mean of what the photos that confirm each other say. Its scale is the radius of its pixel's patch.
    """
    taken = [torch.zeros(one.inverse_depth.shape, dtype=torch.bool) for one in maps]
    parts: list[Points] = []
    for i, one in enumerate(maps):
        if not one.sources:
            continue
        confirmed, total, seen_at = _confirm(i, maps, config)
        agreed = one.cost <= config.max_cost * confirmed.clamp(max=2)
        good = (confirmed > 0) & agreed & torch.from_numpy(one.valid)
        fresh = good & ~taken[i]
        for j, (inside, pixels) in seen_at.items():
            x, y = pixels[inside & good].unbind(-1)
            taken[j][y, x] = True
        parts.append(_points(one, fresh, total / (confirmed + 1)[..., None]))
    return thinned(parts, config.max_points, seed)


def _points(one: DepthMap, where: Tensor, world: Tensor) -> Points:
    """The pixels `where` [H, W] of a map as points at `world` [H, W, 3]."""
    focal = one.view.camera.K.diagonal()[:2].double().prod().sqrt()
    patch = 0.5 / (one.inverse_depth[where].double() * focal)
    return Points(world[where].float(), torch.from_numpy(one.rgb)[where], normals(one)[where].float(), patch.float())


def _world(one: DepthMap) -> Tensor:
    """[H, W, 3] float64, what the pixels' centres show."""
    grid = pixel_grid(one.view.camera.width, one.view.camera.height, torch.float64)
    return one.view.unproject(grid, 1 / one.inverse_depth.double())


def thinned(parts: Sequence[Points], most: int, seed: int) -> Points:
    """All parts in one cloud; of more than `most` points a random choice, grown to fill the gaps."""
    if sum(len(part.positions) for part in parts) == 0:
        return Points(torch.zeros(0, 3), torch.zeros(0, 3))
    columns = [[getattr(part, name) for part in parts] for name in ("positions", "colors", "normals", "scales")]
    positions, colors, directions, scales = (torch.cat(column) for column in columns)
    if len(positions) > most:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(positions), generator=generator)[:most].sort().values
        growth = math.sqrt(len(positions) / most)
        positions, colors, directions = positions[chosen], colors[chosen], directions[chosen]
        scales = scales[chosen] * growth
    return Points(positions, colors, directions, scales)


def normals(one: DepthMap) -> Tensor:
    """[H, W, 3] unit normals in world coordinates, towards the camera, float64."""
    view = one.view
    return plane_normals(one.inverse_depth.double(), one.slopes.double(), view.camera.K.double(), view.world_to_camera)


def _confirm(
    i: int, maps: Sequence[DepthMap], config: FusionConfig
) -> tuple[Tensor, Tensor, dict[int, tuple[Tensor, Tensor]]]:
    """How many photos confirm each pixel of map `i` [H, W], the sum of the points they see there [H, W, 3], and for
    each photo which pixels it confirms [H, W] and where they are in it [H, W, 2].
    """
    one = maps[i]
    grid = pixel_grid(one.view.camera.width, one.view.camera.height, torch.float64)
    world = _world(one)
    confirmed, total, seen_at = torch.zeros(one.inverse_depth.shape, dtype=torch.long), world.clone(), {}
    for j, other in enumerate(maps):
        if j == i or not other.sources:
            continue
        pixels, z, inside = other.view.project(world)
        index = torch.where(inside[..., None], pixels, torch.zeros_like(pixels)).long()
        x, y = index.unbind(-1)
        # The other's plane at this very place rather than at its pixel's centre.
        shift = torch.where(inside[..., None], pixels - index - 0.5, torch.zeros_like(pixels))
        q = other.inverse_depth[y, x] + (other.slopes[:, y, x] * shift.permute(2, 0, 1)).sum(0)
        inside = inside & (q > 0) & ((q * z - 1).abs() <= config.max_depth_error) & torch.from_numpy(other.valid)[y, x]
        theirs = other.view.unproject(pixels, 1 / q.clamp_min(1e-12))
        back, depth, _ = one.view.project(theirs)
        inside = inside & (depth > 0) & ((back - grid).norm(dim=-1) <= config.max_pixel_error)
        confirmed += inside
        total += torch.where(inside[..., None], theirs, torch.zeros_like(theirs))
        seen_at[j] = (inside, index)
    return confirmed, total, seen_at
