"""Which faces of a surface a camera sees, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from recon.geometry import triangles
from recon.mesh.views import SurfaceView
from recon.render.mesh import homogeneous_pixels, rasterize_mesh

_SLACK_PX = 1.0
"""A face may lie behind what is seen in its place by the depth that so many pixels of it span."""
_SLANTED = 0.25
"""Cosine from which on more slanted faces get no more of it: seen along it, all that is hidden would be within it."""


@dataclass(frozen=True)
class Sight:
    """Faces before a camera."""

    shown: Tensor
    """[F] bool: all of it is in the image, and nothing stands before its middle."""
    cosine: Tensor
    """[F] between its normal and the ray to the camera; negative where its back is seen."""
    corners: Tensor
    """[F, 3, 2], px."""
    middle: Tensor
    """[F] int64, the pixel of its middle, 0 where that is outside."""
    depth: Tensor
    """[F] of its middle, scene units."""


@torch.no_grad()
def sight(vertices: Tensor, faces: Tensor, view: SurfaceView) -> Sight:
    """vertices: [V, 3] float32, world; faces: [F, 3] int64."""
    camera = (view.world_to_camera, view.K)
    front = rasterize_mesh(vertices, faces, *camera, view.width, view.height).depth.reshape(-1)
    q = homogeneous_pixels(vertices, *camera)
    inside, _ = view.pixels(q)
    places = vertices[faces]
    middle = places.mean(1)
    at = homogeneous_pixels(middle, *camera)
    within, pixel = view.pixels(at)
    cosine = (triangles.normals(places) * normalize(view.center - middle, dim=1)).sum(1)
    focal = view.K.diagonal()[:2].prod().sqrt()
    slack = _SLACK_PX * at[:, 2] / focal * (1 + 1 / cosine.abs().clamp(min=_SLANTED))
    free = within & ((front[pixel] == 0) | (at[:, 2] < front[pixel] + slack))
    pixels = q[:, :2] / q[:, 2:].clamp(min=1e-9)
    return Sight(free & inside[faces].all(1), cosine, pixels[faces], pixel, at[:, 2])
