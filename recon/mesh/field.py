"""Signed distances around what depth maps show, on the voxels that they show: the start of a surface.

A sparse truncated signed distance field (Curless & Levoy 1996). Voxels exist where depths were seen on all their
corners, so that surfaces end where nothing was seen. We differ in thin parts, where cameras on both sides would cancel
each other: front and back are fused apart. Where the two lie apart the solid between them is kept; where they coincide
it is a sheet, which gets one layer, oriented along the sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.mesh.orient import oriented
from recon.mesh.parameters import CubeParameters, crossed
from recon.mesh.space import Space
from recon.mesh.views import SurfaceView
from recon.mesh.voxels import VoxelGrid
from recon.render.mesh import homogeneous_pixels


@config
class FieldConfig:
    """From depth maps to signed distances."""

    truncation: float = 3.0
    """Distances beyond this are not told apart, voxels."""
    min_weight: float = 0.01
    """Least trust in a corner's distance; one clear look from the front gives 1."""
    sheet: float = 1.5
    """Front and back of a part that is thinner than this are one sheet, voxels."""
    box_quantile: float = 0.001
    """Share of the points that may lie outside of the box, at each end of each axis."""

    def __post_init__(self) -> None:
        if not (self.truncation >= 2 and self.min_weight > 0 and self.sheet >= 0 and 0 <= self.box_quantile < 0.5):
            raise ReconError(
                "mesh.start", found=self, wanted="truncation >= 2, min_weight > 0, sheet >= 0, box_quantile in [0, 0.5)"
            )


def bounds(views: Sequence[SurfaceView], space: Space, config: FieldConfig) -> tuple[Tensor, Tensor]:
    """Lowest and highest corner of the box around what the views show, [3] each, lattice coordinates."""
    points = space.from_world(torch.cat([view.points()[view.confidence > 0] for view in views]))
    if not len(points):
        raise ReconError("a mesh", found="no depths", fix="train the splats for longer, or check masks and cameras")
    points = points.sort(dim=0).values
    cut = int(config.box_quantile * len(points))
    low, high = points[cut], points[len(points) - 1 - cut]
    if not bool((high - low).max() > 0):
        raise ReconError("a mesh", found="all depths at one point", fix="check the cameras")
    return low, high


def start_field(
    views: Sequence[SurfaceView], space: Space, low: Tensor, high: Tensor, voxel_size: float, config: FieldConfig
) -> CubeParameters:
    """Signed distances and colours on the voxels of a box that the views show.

    low, high: [3] and voxel_size: lattice coordinates. Raises ReconError when they show no surface.
    """
    grid = _near_depths(views, space, low, high, voxel_size)
    sdf, observed = fuse(views, space, grid, config)
    # Voxels that the surface crosses and their neighbours, as far as distances are known on all corners.
    known = observed[grid.voxel_corners.long()].all(1)
    if not bool(known.any()):
        raise ReconError("a mesh", found="no voxel whose distance is known", fix="lower mesh.resolution")
    kept = grid.select(known)
    sdf = sdf[_rows(grid, kept)]
    band = kept.find(kept.select(crossed(kept, sdf)).dilate(1).coords)
    keep = torch.zeros(len(kept), dtype=torch.bool)
    keep[band[band >= 0]] = True
    active = kept.select(keep)
    if not len(active):
        raise ReconError("a mesh", found="no surface in the depths", fix="lower mesh.resolution or use more photos")
    sdf = sdf[_rows(kept, active)]
    limit = 2 * voxel_size
    sdf = sdf.clamp(-limit, limit)
    # Exactly zero is outside; a nudge keeps crossings off the corners.
    sdf = torch.where(sdf.abs() < 1e-3 * voxel_size, 1e-3 * voxel_size * torch.where(sdf < 0, -1.0, 1.0), sdf)
    return CubeParameters.start(active, sdf, corner_colors(views, space, active.corner_positions(), voxel_size))


def _rows(grid: VoxelGrid, part: VoxelGrid) -> Tensor:
    """Rows in `grid` of the corners of `part`."""
    return grid.find_corners(part.corners)


def _near_depths(views: Sequence[SurfaceView], space: Space, low: Tensor, high: Tensor, voxel_size: float) -> VoxelGrid:
    """The voxels within three steps of a point that a view shows."""
    parts = []
    for view in views:
        points = space.from_world(view.points()[view.confidence > 0])
        inside = ((points >= low) & (points <= high)).all(1)
        parts.append(torch.unique(((points[inside] - low) / voxel_size).floor().to(torch.int32), dim=0))
    return VoxelGrid.from_coords(torch.cat(parts), low.double(), voxel_size).dilate(3)


@dataclass
class _Side:
    """Weighted sums over the views on one side of a surface."""

    distance: Tensor
    weight: Tensor

    @staticmethod
    def zeros(count: int) -> _Side:
        return _Side(torch.zeros(count), torch.zeros(count))

    def add(self, distance: Tensor, weight: Tensor) -> None:
        self.distance += distance * weight
        self.weight += weight

    def mean(self, otherwise: float) -> Tensor:
        return torch.where(self.weight > 0, self.distance / self.weight.clamp(min=1e-12), otherwise)


def fuse(views: Sequence[SurfaceView], space: Space, grid: VoxelGrid, config: FieldConfig) -> tuple[Tensor, Tensor]:
    """Signed distances at the corners, [K], in the lattice's units, negative inside, and whether they are known."""
    corners = space.to_world(grid.corner_positions())
    unit = space.shrinkage(corners)
    limit = config.truncation * grid.voxel_size
    looks = [_look(view, corners, unit, limit) for view in views]
    direction = _facing(grid, looks, limit)
    front, back = _Side.zeros(len(corners)), _Side.zeros(len(corners))
    for look in looks:
        facing = (look.normal * direction).sum(1) >= 0
        front.add(look.distance, torch.where(facing, look.weight, 0))
        back.add(look.distance, torch.where(facing, 0, look.weight))
    a, b = front.mean(-limit), back.mean(-limit)
    one_sided = torch.where(front.weight > 0, a, b)
    both = (front.weight > config.min_weight) & (back.weight > config.min_weight)
    # Cameras on both sides of a sheet see it at one place: just behind its front it is outside again.
    size = grid.voxel_size
    behind = both & (a < -0.25 * size) & (a > -config.sheet * size)
    thin = _share_nearby(grid, behind, behind & (b > 0)) > 0.5
    folded = (front.distance - back.distance) / (front.weight + back.weight).clamp(min=1e-12)
    found = torch.where(both, torch.where(thin, folded, torch.maximum(a, b)), one_sided)
    known = torch.stack([look.trust for look in looks]).sum(0) > config.min_weight
    # Where the front's word on a sheet ends, far behind it, the back's begins: no surface between the two.
    known &= ~(both & thin & (found < -0.6 * limit))
    if all(view.mask is None for view in views if view.rank == 1):
        # Photos filled to their borders: what lies near a surface and is only ever hidden closes the gaps in it.
        hidden = torch.stack([look.hidden for look in looks]).any(0) & ~known
        found, known = torch.where(hidden, -limit, found), known | hidden
    # A voxel's diagonal behind a sheet is nothing solid that a silhouette could carve.
    sheet = both & thin & (found.abs() < 1.75 * size)
    inside = (found < -size) & ~sheet
    for view in views:
        if view.mask is not None:
            outside = _outside_silhouette(view, corners, unit, limit)
            # What depths call clearly inside and a silhouette outside lies behind the border of a sheet.
            known &= ~(inside & (outside >= 0))
            found = torch.where(sheet, found, torch.maximum(found, outside))
    return found, known


def _facing(grid: VoxelGrid, looks: Sequence[_Look], limit: float) -> Tensor:
    """[K, 3] which way the surface near each corner faces, the same way all along it; 0 where none is near.

    Seen from one side it faces the cameras. Of a thin part both sides are seen, and their normals cancel.
    """
    count = len(grid.corners)
    total, tensor, weights = torch.zeros(count, 3), torch.zeros(count, 3, 3), torch.zeros(count)
    near = [look.weight * (look.distance.abs() < limit) for look in looks]
    for look, weight in zip(looks, near, strict=True):
        total += weight[:, None] * look.normal
        tensor += weight[:, None, None] * look.normal[:, :, None] * look.normal[:, None, :]
        weights += weight
    opposed = torch.zeros(count)
    for look, weight in zip(looks, near, strict=True):
        opposed += weight * ((look.normal * total).sum(1) < 0)
    rows = (opposed > 0.1 * weights).nonzero()[:, 0]
    axes = torch.linalg.eigh(tensor[rows].double()).eigenvectors[..., -1].float()
    total[rows] = oriented(grid, rows, axes, total[rows])
    return total


def _share_nearby(grid: VoxelGrid, among: Tensor, chosen: Tensor, steps: int = 6) -> Tensor:
    """[K] how many of the corners `among` around each corner are `chosen`, by weights that fall over some voxels."""
    counts = torch.stack([among, chosen], 1).float()
    index = grid.voxel_corners.long().reshape(-1)
    for _ in range(steps):
        voxels = counts[index].reshape(len(grid), 8, 2).mean(1)
        counts = torch.zeros_like(counts).index_add_(0, index, voxels.repeat_interleave(8, 0))
        counts = counts / counts[:, 0].max().clamp(min=1e-12)
    return counts[:, 1] / counts[:, 0].clamp(min=1e-6)


@dataclass(frozen=True)
class _Look:
    """One view's word on corners [K]."""

    distance: Tensor
    """[K], in the lattice's units, within the truncation."""
    trust: Tensor
    """[K] in [0, 1], by angle and confidence; 0 where the view does not see the corner."""
    weight: Tensor
    """[K], the trust by what a pixel covers there."""
    normal: Tensor
    """[K, 3] of the surface that the view sees before or behind the corner."""
    hidden: Tensor
    """[K] bool: well behind what the view sees there."""


def _look(view: SurfaceView, corners: Tensor, unit: Tensor, limit: float) -> _Look:
    q = homogeneous_pixels(corners, view.world_to_camera, view.K)
    z = q[:, 2]
    inside, pixel = view.pixels(q)
    depth, confidence = view.depth.reshape(-1)[pixel], view.confidence.reshape(-1)[pixel]
    normal = view.normal.reshape(-1, 3)[pixel]
    rays = torch.nn.functional.normalize(view.center - corners, dim=1)
    cosine = (normal * rays).sum(1).clamp(min=0)
    # Along the optical axis to across the surface: n . r for the ray r of unit depth, a plane's distance.
    slope = cosine * (view.center - corners).norm(dim=1) / z.clamp(min=1e-9)
    distance = (depth - z) * slope.clamp(0.2, 1) * unit
    seen = inside & (depth > 0) & (distance > -limit)
    # What a pixel covers counts against a pixel in front, at this view's middle depth.
    middle = view.depth[view.depth > 0].median() if bool((view.depth > 0).any()) else view.depth.new_ones(())
    nearness = (middle / z.clamp(min=1e-9)).square().clamp(max=4)
    trust = torch.where(seen, confidence * cosine.clamp(min=0.1), 0)
    return _Look(
        distance.clamp(-limit, limit), trust, trust * nearness, normal, inside & (depth > 0) & (distance <= -limit)
    )


def _outside_silhouette(view: SurfaceView, corners: Tensor, unit: Tensor, limit: float) -> Tensor:
    """[K] distance from the cone of the view's silhouette, positive outside of it; -limit outside of the image."""
    import cv2

    assert view.mask is not None
    covered = (view.mask > 0.5).numpy().astype(np.uint8)
    away = cv2.distanceTransform(1 - covered, cv2.DIST_L2, 5) - cv2.distanceTransform(covered, cv2.DIST_L2, 5)
    # The transform measures between pixel centres: the edge lies half a pixel before the first pixel.
    signed = torch.from_numpy(away - 0.5 * np.sign(away))
    q = homogeneous_pixels(corners, view.world_to_camera, view.K)
    inside, pixel = view.pixels(q)
    focal = view.K.diagonal()[:2].prod().sqrt()
    return torch.where(inside, signed.reshape(-1)[pixel] * q[:, 2] / focal * unit, -limit).clamp(-limit, limit)


def corner_colors(views: Sequence[SurfaceView], space: Space, lattice_points: Tensor, tolerance: float) -> Tensor:
    """[K, 3] colours that the photos show at points near the surface, in proportion to how well they see them.

    tolerance: how far the depths may be away, a third, in the lattice's units. Grey where no view sees a point.
    """
    points = space.to_world(lattice_points)
    allowed = 3 * tolerance / space.shrinkage(points)
    total, weights = torch.full_like(points, 0.5e-9), torch.full((len(points), 1), 1e-9)
    for view in views:
        q = homogeneous_pixels(points, view.world_to_camera, view.K)
        inside, pixel = view.pixels(q)
        depth = view.depth.reshape(-1)[pixel]
        seen = inside & (depth > 0) & ((depth - q[:, 2]).abs() < allowed)
        cosine = (view.normal.reshape(-1, 3)[pixel] * torch.nn.functional.normalize(view.center - points, dim=1)).sum(1)
        nearness = view.rank / q[:, 2].clamp(min=1e-9).square()
        weight = torch.where(seen, cosine.clamp(min=0.05).square() * nearness, 0)[:, None]
        total += weight * view.photo.reshape(-1, 3)[pixel]
        weights += weight
    return total / weights
