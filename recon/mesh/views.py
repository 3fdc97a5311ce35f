"""What the splats and the photos say about the surface, view by view: depth, normal, colour and silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry.camera import pixel_grid, unproject
from recon.io.images import load_image
from recon.render.rasterize import RasterConfig, rasterize
from recon.scene.nodes import Splats, View

_OPAQUE = 0.5
"""Pixels of splats that are less opaque have no depth."""


@dataclass(frozen=True)
class SurfaceView:
    """One photo and the splats as its camera sees them; all float32."""

    name: str
    world_to_camera: Tensor
    """[4, 4]."""
    K: Tensor
    """[3, 3], px."""
    depth: Tensor
    """[H, W], along the optical axis, scene units; 0 where the splats are not opaque."""
    normal: Tensor
    """[H, W, 3], world, unit length, towards the camera; 0 without depth."""
    confidence: Tensor
    """[H, W] in [0, 1], the trust in depth and normal; 0 without depth."""
    photo: Tensor
    """[H, W, 3] in [0, 1], sRGB; its colour where it is transparent means nothing."""
    mask: Tensor | None
    """[H, W] in [0, 1], how much of the pixel the object covers; None where the photo is not cut out."""
    weight: Tensor | None
    """[H, W] in [0, 1], how much the photo's pixel counts; None when all do."""

    @property
    def width(self) -> int:
        """px"""
        return self.depth.shape[1]

    @property
    def height(self) -> int:
        """px"""
        return self.depth.shape[0]

    @property
    def center(self) -> Tensor:
        """Camera centre, [3], world."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]

    def points(self) -> Tensor:
        """[H, W, 3] world points that the pixels' centres show; the camera's centre where there is no depth."""
        local = unproject(pixel_grid(self.width, self.height), self.depth, self.K)
        return local @ self.world_to_camera[:3, :3] + self.center


def surface_views(splats: Splats, views: Sequence[View], *, coverage: bool, antialias: bool) -> list[SurfaceView]:
    """Render `splats` at the cameras of `views` and read their photos.

    coverage: the alpha of photos says how much of a pixel the object covers; otherwise how much the pixel counts.
    Raises ReconError for no splats, no views, a view without a photo, and when no view sees anything.
    """
    if not len(splats):
        raise ReconError("a mesh", found="a scene without splats", fix="run the splats stage on more or better photos")
    if not views:
        raise ReconError("a mesh", found="no training views", wanted="at least one", fix="set views.train")
    found = [_seen(splats, view, coverage, antialias) for view in views]
    if not any(bool((one.depth > 0).any()) for one in found):
        raise ReconError(
            "a mesh",
            found=f"no opaque pixel in any of {len(found)} views",
            fix="train the splats for longer, or check masks and cameras",
        )
    return found


@torch.no_grad()
def _seen(splats: Splats, view: View, coverage: bool, antialias: bool) -> SurfaceView:
    camera = view.camera
    image = load_image(view)
    alpha = None if image.alpha is None else torch.from_numpy(image.alpha.astype(np.float32))
    render = rasterize(
        splats.params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height,
        family=splats.family, normal=True, median_depth=True, config=RasterConfig(antialias=antialias),
    )  # fmt: skip
    assert render.median_depth is not None and render.normal is not None
    opaque = (render.alpha > _OPAQUE) & (render.median_depth > 0) & render.median_depth.isfinite()
    if alpha is not None:
        opaque &= alpha > _OPAQUE
    length = render.normal.norm(dim=-1)
    normal = torch.where((opaque & (length > 1e-6))[..., None], render.normal / length.clamp(min=1e-6)[..., None], 0)
    return SurfaceView(
        view.name,
        view.world_to_camera.float(),
        camera.K.float(),
        torch.where(opaque, render.median_depth, 0),
        normal,
        # Normals that differ along the ray cancel: their sum is long where one surface stops the light.
        torch.where(opaque, length / render.alpha.clamp(min=1e-6), 0).clamp(0, 1),
        torch.from_numpy(np.ascontiguousarray(image.rgb, np.float32)),
        alpha if coverage else None,
        None if coverage else alpha,
    )
