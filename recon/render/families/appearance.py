"""What the plain-torch twin of a family computes: alpha of every primitive at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry.camera import pixel_grid


@dataclass(frozen=True)
class PinholeView:
    """One camera, taken apart."""

    world_to_camera: Tensor
    """[4, 4], OpenCV axes."""
    K: Tensor
    """[3, 3], px."""
    width: int
    """px."""
    height: int
    """px."""
    near_plane: float
    far_plane: float
    eps2d: float
    """px^2, see `RasterConfig`."""
    antialias: bool

    @property
    def center(self) -> Tensor:
        """Camera centre in the world, [3]."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]

    def to_camera(self, points: Tensor) -> Tensor:
        """World points [..., 3] in the camera frame."""
        return points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]

    def project(self, camera_points: Tensor) -> Tensor:
        """Points in the camera frame [..., 3] to px [..., 2]."""
        focal = self.K.diagonal()[:2]
        return focal * camera_points[..., :2] / camera_points[..., 2:] + self.K[:2, 2]

    def offsets(self, means2d: Tensor) -> Tensor:
        """[H, W, N, 2], px, from means2d [N, 2] to every pixel's centre."""
        return pixel_grid(self.width, self.height, means2d.dtype)[:, :, None] - means2d

    def facing(self, normals: Tensor, points: Tensor) -> Tensor:
        """World normals [N, 3] at points [N, 3], turned towards the camera."""
        return torch.where(((normals * (points - self.center)).sum(-1) > 0)[:, None], -normals, normals)


@dataclass(frozen=True)
class Appearance:
    """N primitives as one camera sees them."""

    centers: Tensor
    """[N, 3], world: where colours are seen from."""
    means2d: Tensor
    """[N, 2], px."""
    depths: Tensor
    """[N], z by which primitives are sorted."""
    alphas: Tensor
    """[H, W, N], before clamping and cutting off."""
    normals: Tensor
    """[N, 3], world, towards the camera."""
    visible: Tensor
    """[N] bool: in front of the camera and whole."""
    pixel_depths: Tensor | None = None
    """[H, W, N], z, for families whose depth varies over a footprint."""
