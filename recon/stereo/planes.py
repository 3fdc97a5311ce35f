"""Planes at pixels: an inverse depth q that is affine in the pixels, with slopes qx and qy per px.

The plane n . X = 1 with n K^-1 (x, y, 1) = q has n = (fx qx, fy qy, q at the principal point).
"""

from __future__ import annotations

import torch
from torch import Tensor

from recon.geometry.camera import pixel_grid, unproject

_GRAZING = 0.15
"""Cosine below which a plane is taken to face the camera: its depths would run away within a window."""


def plane_normals(inverse_depth: Tensor, slopes: Tensor, K: Tensor, world_to_camera: Tensor) -> Tensor:
    """[H, W, 3] unit normals in world coordinates, towards the camera.

    inverse_depth: [H, W], one over scene units; slopes: [2, H, W]; K: [3, 3], px; world_to_camera: [4, 4].
    """
    height, width = inverse_depth.shape
    offsets = pixel_grid(width, height, inverse_depth.dtype) - K[:2, 2]
    at_center = inverse_depth - slopes[0] * offsets[..., 0] - slopes[1] * offsets[..., 1]
    n = torch.stack([K[0, 0] * slopes[0], K[1, 1] * slopes[1], at_center], -1)
    return -torch.nn.functional.normalize(n, dim=-1) @ world_to_camera[:3, :3]


def planes_of(depth: Tensor, normals: Tensor, K: Tensor, world_to_camera: Tensor) -> Tensor:
    """[3, H, W] inverse depth and slopes, 0 where there is no depth: the inverse of `plane_normals`.

    depth: [H, W], scene units along z, 0 where unknown; normals: [H, W, 3], world; K: [3, 3], px.
    """
    height, width = depth.shape
    rays, local = unproject(pixel_grid(width, height), torch.ones_like(depth), K), normals @ world_to_camera[:3, :3].T
    length = rays.norm(dim=-1, keepdim=True)
    cosine = (local * rays).sum(-1, keepdim=True)
    local = torch.where(cosine > -_GRAZING * length, -rays / length, local)
    offset = (depth[..., None] * (local * rays).sum(-1, keepdim=True)).clamp(max=-1e-12)
    planes = torch.cat([1 / depth.clamp(min=1e-9)[..., None], local[..., :2] / (K.diagonal()[:2] * offset)], -1)
    return torch.where((depth > 0)[..., None], planes, 0).permute(2, 0, 1)


def slopes_of(normal: Tensor, K: Tensor, width: int, height: int) -> Tensor:
    """[2, H, W] slopes, at an inverse depth of 1, of planes with a `normal` [3] in camera coordinates.

    0 where a pixel would look at the plane from behind or grazing.
    """
    rays = unproject(pixel_grid(width, height, normal.dtype), torch.ones(height, width, dtype=normal.dtype), K)
    along = rays @ normal
    turned_away = along > -_GRAZING * rays.norm(dim=-1)
    slopes = normal[:2] / K.diagonal()[:2] / torch.where(turned_away, -1, along)[..., None]
    return torch.where(turned_away[..., None], 0, slopes).permute(2, 0, 1)
