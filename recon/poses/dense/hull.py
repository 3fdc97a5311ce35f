"""Dense points from outlines alone: the visual hull of what photos with masks show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from recon.config import config
from recon.geometry import rigid
from recon.geometry.occlusion import nearest_in_cell
from recon.poses.dense.fusion import thinned
from recon.poses.dense.source import DenseInput
from recon.scene.nodes import Points, View

_COARSE = 48  # voxels along a side of the first grid, which finds the box
_FORGIVING = 4  # photos that must see a voxel before one of them may miss it; of fewer each tells too much
_COVERED = 0.95  # share of each outline that a hull must fill before no photo may miss a voxel
_SMOOTH = 1.5  # voxels, of the occupancy that normals are gradients of
_BEHIND = 2.0  # voxels further away than the nearest one in a pixel that still count as seen
_WELL = 0.2  # squared cosine between normal and sight from which a photo says something of a point's colour
_OPAQUE = 0.5


@config
class HullConfig:
    """Voxels that lie inside of the outlines in the photos; their surface becomes points."""

    resolution: Annotated[int, Field(ge=16, le=512)] = 128
    """Voxels along the longest side of the object."""
    missing: Annotated[int, Field(ge=0)] = 1
    """Photos that may have a voxel outside of their outline, of four or more that see it, where masks contradict each
    other. Where the hull that all of them agree on fills their outlines none may: one photo less is much more hull."""
    max_points: Annotated[int, Field(ge=1)] = 25_000
    """Points to keep; more are thinned at random, and the rest grow to fill the gaps."""


class HullSource:
    """Everything that no photo contradicts: too large where the object is hollow, but right in size and place."""

    def __init__(self, config: HullConfig) -> None:
        self.config = config

    def points(self, given: DenseInput) -> Points:
        """Points on the hull; none when photos have no outline or outlines have nothing in common."""
        masks = outlines(given)
        if masks is None:
            return Points(torch.zeros(0, 3), torch.zeros(0, 3))
        hull = carve(given.views, masks, self.config)
        given.progress(1, 2)
        images = [torch.from_numpy(image.rgb) for image in given.images]
        points = hull_points(hull, given.views, images, masks)
        given.progress(2, 2)
        return thinned([points], self.config.max_points, given.seed)


def outlines(given: DenseInput) -> list[Tensor] | None:
    """Where each photo shows the object, [H, W] bool; None unless every photo is cut out."""
    if not given.cut_out:
        return None
    masks = [None if image.alpha is None else torch.from_numpy(image.alpha > _OPAQUE) for image in given.images]
    found = [mask for mask in masks if mask is not None and 0 < int(mask.sum()) < mask.numel()]
    return found if len(found) == len(masks) else None


@dataclass(frozen=True)
class Hull:
    """Occupied voxels of a box."""

    occupied: Tensor
    """[X, Y, Z] bool."""
    origin: Tensor
    """[3] float64 world, centre of the first voxel."""
    side: float
    """Of a voxel, scene units."""

    def centers(self, where: Tensor) -> Tensor:
        """[N, 3] float64 world, of the voxels `where` [X, Y, Z] holds."""
        return self.origin + self.side * where.nonzero().double()


def carve(views: Sequence[View], masks: Sequence[Tensor], config: HullConfig) -> Hull:
    """The hull at `config.resolution`, of what all photos agree on where that fills their outlines.

    A voxel stays when the photos that see it, at least half of all, have its centre inside of their outline. Source:
    Laurentini 1994; the tolerance after GaussianObject (Yang et al. 2024), which always has it.
    """
    hull = _carved(views, masks, config.resolution, 0)
    if config.missing and min(coverage(hull, view, mask) for view, mask in zip(views, masks, strict=True)) < _COVERED:
        return _carved(views, masks, config.resolution, config.missing)
    return hull


def _carved(views: Sequence[View], masks: Sequence[Tensor], resolution: int, missing: int) -> Hull:
    """A coarse grid around what cameras look at finds the box of the fine one."""
    center, radius = _around(views, masks)
    count = _COARSE
    # A coarse voxel is kept by what its middle shows, so the outlines grow by half a voxel's diagonal.
    grown = [_grown(view, mask, center, radius / count) for view, mask in zip(views, masks, strict=True)]
    hull = _occupied(views, grown, center - radius + radius / count, 2 * radius / count, (count,) * 3, missing)
    if not bool(hull.occupied.any()):
        return hull
    found = hull.centers(hull.occupied)
    low, high = found.min(0).values - hull.side, found.max(0).values + hull.side
    side = float((high - low).max()) / resolution
    shape = tuple(int(n) for n in ((high - low) / side).ceil().long().clamp_min(1))
    return _occupied(views, masks, low + side / 2, side, shape, missing)


def hull_points(hull: Hull, views: Sequence[View], images: Sequence[Tensor], masks: Sequence[Tensor]) -> Points:
    """The surface voxels as points with colours, normals and sizes.

    A point's colour is what the photos that see it show there, the more the straighter they look at it.
    """
    positions, normals = _shell(hull)
    if len(positions) == 0:
        return Points(torch.zeros(0, 3), torch.zeros(0, 3))
    colors, weights = _looks(hull, positions, normals, views, images, masks)
    mean = (weights[..., None] * colors).sum(0) / weights.sum(0)[:, None].clamp_min(1e-9)
    scales = torch.full((len(positions),), hull.side / 2)
    return Points(positions.float(), mean, normals.float(), scales)


def agreement(hull: Hull, views: Sequence[View], images: Sequence[Tensor], masks: Sequence[Tensor]) -> float:
    """Share of the variance of colours on the hull that is not between photos of one point: 1 when they all agree.

    Only points that two photos see well count; 0 when there are none.
    """
    positions, normals = _shell(hull)
    if len(positions) == 0:
        return 0.0
    colors, weights = _looks(hull, positions, normals, views, images, masks)
    weights = weights * (weights > _WELL)
    shared = (weights > 0).sum(0) >= 2
    if not bool(shared.any()):
        return 0.0
    colors, weights = colors[:, shared], weights[:, shared, None]
    mean = (weights * colors).sum(0) / weights.sum(0)
    middle = (weights * colors).sum((0, 1)) / weights.sum((0, 1))
    within, among = ((weights * (colors - one).square()).sum() for one in (mean, middle))
    return float(1 - within / among.clamp_min(1e-12))


def _shell(hull: Hull) -> tuple[Tensor, Tensor]:
    """Centres [N, 3] and outward normals [N, 3] of the surface voxels, float64."""
    occupied = hull.occupied.numpy()
    shell = torch.from_numpy(occupied & ~ndimage.binary_erosion(occupied))
    smooth = ndimage.gaussian_filter(np.pad(occupied.astype(np.float32), 2), _SMOOTH)
    slopes = torch.from_numpy(np.stack(np.gradient(smooth))[:, 2:-2, 2:-2, 2:-2].copy())
    return hull.centers(shell), -torch.nn.functional.normalize(slopes[:, shell].T.double(), dim=1)


def _looks(
    hull: Hull, positions: Tensor, normals: Tensor, views: Sequence[View], images: Sequence[Tensor],
    masks: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """What each photo shows at each point, [V, N, 3], and how straight it looks at it, [V, N]: 0 to 1, next to nothing
    where something is before it."""
    colors, weights = [], []
    for view, image, mask in zip(views, images, masks, strict=True):
        pixels, depths, inside = view.project(positions)
        sight = torch.nn.functional.normalize(view.center - positions, dim=1)
        x, y = torch.where(inside[:, None], pixels, torch.zeros_like(pixels)).long().unbind(1)
        shown = inside & mask[y, x]
        nearest = nearest_in_cell(pixels, depths, inside, _cell(view, depths[inside], hull.side))
        seen = shown & (depths <= nearest + _BEHIND * hull.side)
        colors.append(image[y, x])
        weights.append((seen * (sight * normals).sum(1).clamp_min(0).square() + 1e-6 * shown).float())
    return torch.stack(colors), torch.stack(weights)


def coverage(hull: Hull, view: View, mask: Tensor) -> float:
    """Share of the outline that the hull fills."""
    pixels, depths, inside = view.project(hull.centers(hull.occupied))
    if not bool(inside.any()):
        return 0.0
    cell = _cell(view, depths[inside], hull.side)
    filled = torch.zeros(int(view.camera.height / cell) + 1, int(view.camera.width / cell) + 1, dtype=torch.bool)
    x, y = (pixels[inside] / cell).long().unbind(1)
    filled[y, x] = True
    rows, columns = (mask.nonzero() / cell).long().unbind(1)
    return float(filled[rows, columns].double().mean())


def _cell(view: View, depths: Tensor, side: float) -> float:
    """Side of a square that a voxel at the median of `depths` fills for sure, px."""
    return max(1.0, 1.5 * float(view.camera.K[0, 0]) * side / float(depths.median())) if len(depths) else 1.0


def _occupied(
    views: Sequence[View], masks: Sequence[Tensor], origin: Tensor, side: float, shape: Sequence[int], missing: int
) -> Hull:
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    positions = origin + side * torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    seen, within = torch.zeros(len(positions), dtype=torch.int16), torch.zeros(len(positions), dtype=torch.int16)
    for view, mask in zip(views, masks, strict=True):
        pixels, _, inside = view.project(positions)
        x, y = torch.where(inside[:, None], pixels, torch.zeros_like(pixels)).long().unbind(1)
        seen += inside
        within += inside & mask[y, x]
    allowed = torch.where(seen >= _FORGIVING, missing, 0)
    enough = within >= max(2, math.ceil(len(views) / 2))
    return Hull(((seen - within <= allowed) & enough).view(*shape), origin, side)


def _around(views: Sequence[View], masks: Sequence[Tensor]) -> tuple[Tensor, float]:
    """The point nearest to the rays through the middles of the outlines, [3], and a radius that holds the object."""
    middles, reaches = [], []
    for view, mask in zip(views, masks, strict=True):
        rows, columns = mask.nonzero().unbind(1)
        x, y = ((values.min() + values.max() + 1).double() / 2 for values in (columns, rows))
        ray = view.unproject(torch.stack([x, y])[None], torch.ones(1))[0] - view.center
        middles.append(torch.nn.functional.normalize(ray, dim=0))
        half = max(float(columns.max() - columns.min()), float(rows.max() - rows.min())) / 2
        reaches.append(half / float(view.camera.K[0, 0]))
    directions, centers = torch.stack(middles), torch.stack([view.center for view in views])
    across = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None]
    center = torch.linalg.lstsq(across.sum(0), (across @ centers[..., None]).sum(0)).solution[:, 0]
    distances = (centers - center).norm(dim=1)
    # The diagonal of the outline's square, and room for what perspective brings nearer.
    return center, 1.6 * max(reach * float(distance) for reach, distance in zip(reaches, distances, strict=True))


def _grown(view: View, mask: Tensor, center: Tensor, half: float) -> Tensor:
    """The outline grown by what half a voxel's diagonal measures in the photo."""
    distance = max(float(rigid.transform_points(view.world_to_camera, center[None])[0, 2]), 1e-9)
    reach = 1.75 * half * float(view.camera.K[0, 0]) / distance
    return torch.from_numpy(ndimage.distance_transform_edt(~mask.numpy()) <= reach)
