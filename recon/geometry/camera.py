"""Pinhole cameras with lens distortion.

Axes are OpenCV's: x right, y down, z forward. Pixel (0.5, 0.5) is the centre of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

DistortionModel = Literal["none", "opencv", "fisheye"]


@dataclass(frozen=True)
class Distortion:
    """How a real lens departs from a pinhole, on normalised image coordinates (x/z, y/z)."""

    model: DistortionModel = "none"
    """"opencv": rational radial-tangential; "fisheye": Kannala-Brandt equidistant (OpenCV's fisheye)."""
    params: tuple[float, ...] = ()
    """opencv: k1 k2 p1 p2 [k3 [k4 k5 k6]]; fisheye: k1 k2 k3 k4. No unit."""

    @property
    def is_identity(self) -> bool:
        """True when the lens is a plain pinhole. A fisheye with zero parameters is not."""
        return self.model == "none" or (self.model == "opencv" and not any(self.params))


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one view."""

    width: int
    """Image width, px."""
    height: int
    """Image height, px."""
    K: Tensor
    """[3, 3] float64, px: fx, fy on the diagonal, (cx, cy) anywhere in or near the image, no skew."""
    distortion: Distortion = field(default_factory=Distortion)
    """Lens model that takes ideal to observed normalised coordinates."""

    @staticmethod
    def pinhole(
        width: int,
        height: int,
        fx: float,
        fy: float | None = None,
        cx: float | None = None,
        cy: float | None = None,
    ) -> Camera:
        """Camera without distortion; fy defaults to fx and the principal point to the image centre."""
        K = torch.eye(3, dtype=torch.float64)
        K[0, 0], K[1, 1] = fx, fx if fy is None else fy
        K[0, 2] = width / 2 if cx is None else cx
        K[1, 2] = height / 2 if cy is None else cy
        return Camera(width, height, K)

    def resized(self, width: int, height: int) -> Camera:
        """The same lens with its image resampled to `width` x `height`: K scales, distortion stays."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0], dtype=torch.float64)
        return replace(self, width=width, height=height, K=scale[:, None] * self.K)


def distort(points: Tensor, distortion: Distortion) -> Tensor:
    """Ideal normalised coordinates [..., 2] to the observed ones.

    Source: the OpenCV calibration model (radial-rational plus tangential) and its fisheye model
    (Kannala & Brandt 2006, eq. 6 without the even terms).
    """
    if distortion.is_identity:
        return points
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    if distortion.model == "fisheye":
        k1, k2, k3, k4 = distortion.params
        r = r2.sqrt()
        theta = torch.atan(r)
        t2 = theta * theta
        theta_d = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
        scale = torch.where(r > 1e-9, theta_d / r.clamp_min(1e-9), torch.ones_like(r))
        return points * scale[..., None]
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion.params, *(0.0,) * (8 - len(distortion.params)))
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        dim=-1,
    )


def project(points: Tensor, Ks: Tensor) -> Tensor:
    """Pixels [..., 2] of camera-frame points [..., 3] with z > 0, through pinhole `Ks` [..., 3, 3]."""
    xy = points[..., :2] / points[..., 2:]
    return xy * torch.stack([Ks[..., 0, 0], Ks[..., 1, 1]], dim=-1) + Ks[..., :2, 2]


def unproject(pixels: Tensor, depths: Tensor, Ks: Tensor) -> Tensor:
    """Lift pixels to points in the camera frame.

    pixels: [..., 2], px.   depths: [...], along +z, scene units.   Ks: [..., 3, 3], px.
    Returns [..., 3], scene units. Half a pixel moves a point by 0.5 * depth / f.
    Source: Hartley & Zisserman 2004, sec. 6.1.
    """
    focal = torch.stack([Ks[..., 0, 0], Ks[..., 1, 1]], dim=-1)
    xy = (pixels - Ks[..., :2, 2]) / focal * depths[..., None]
    return torch.cat([xy, depths[..., None]], dim=-1)


def pixel_grid(width: int, height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Pixel centres [height, width, 2] as (x, y), px."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=dtype) + 0.5, torch.arange(width, dtype=dtype) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], dim=-1)
