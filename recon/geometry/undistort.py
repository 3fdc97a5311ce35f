"""Where the pixels of an ideal pinhole lie in a photo taken through a real lens."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon.geometry.camera import Camera, Distortion, distort

_STRIP_PIXELS = 1 << 20
"""Rows are worked through in strips of about this many pixels: float64 temporaries of a 24 MP photo would take 2 GB."""


def undistorted_camera(camera: Camera) -> Camera:
    """The pinhole with the same image size, focal lengths and principal point.

    Straight lines come out straight and the middle keeps its resolution; a lens of more than about 120 degrees loses
    its rim. Pixels that the lens did not see are marked by `undistortion_map`.
    """
    return replace(camera, distortion=Distortion())


def undistortion_map(camera: Camera) -> tuple[Tensor, Tensor]:
    """For every pixel of `undistorted_camera(camera)`: its place in the photo, and whether the photo shows it.

    Returns [H, W, 2] float32 (x, y), px with (0.5, 0.5) the centre of the first pixel, and [H, W] bool. A pixel is
    invalid when its place is outside the photo or where the lens polynomial has folded back, beyond its first turning
    point: there it describes no lens, and the wrong part of the photo would be repeated.
    """
    focal, center = camera.K.diagonal()[:2], camera.K[:2, 2]
    size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
    farthest = torch.maximum(center.abs(), (size - center).abs()) / focal
    limit = _fold_radius(camera.distortion, float(farthest.norm()))
    source = torch.empty(camera.height, camera.width, 2)
    valid = torch.empty(camera.height, camera.width, dtype=torch.bool)
    x = torch.arange(camera.width, dtype=torch.float64) + 0.5
    rows = max(1, _STRIP_PIXELS // camera.width)
    for top in range(0, camera.height, rows):
        y = torch.arange(top, min(top + rows, camera.height), dtype=torch.float64) + 0.5
        pixels = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)
        ideal = (pixels - center) / focal
        place = distort(ideal, camera.distortion) * focal + center
        source[top : top + len(y)] = place
        # A hair of slack: an identity lens must not lose its border to rounding.
        inside = ((place >= -1e-6) & (place <= size + 1e-6)).all(-1)
        valid[top : top + len(y)] = inside & (ideal.norm(dim=-1) < limit)
    return source, valid


def _fold_radius(distortion: Distortion, farthest: float) -> float:
    """Smallest ideal radius (up to `farthest`, normalised) at which the observed radius stops growing; inf if none."""
    radius = torch.linspace(0, farthest * 1.01, 8193, dtype=torch.float64)
    on_axis = torch.stack([radius, torch.zeros_like(radius)], dim=-1)
    # Tangential terms tilt the lens and have no part in its radial growth.
    params = tuple(0.0 if distortion.model == "opencv" and i in (2, 3) else p for i, p in enumerate(distortion.params))
    observed = distort(on_axis, Distortion(distortion.model, params))[:, 0]
    stops = (observed.diff() <= 0).nonzero()
    return float(radius[stops[0, 0]]) if len(stops) else float("inf")
