"""What the splats and the photos say about the surface, view by view: depth, normal, colour and silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import triangles
from recon.geometry.camera import pixel_grid, unproject
from recon.io.images import load_image
from recon.render.mesh import homogeneous_pixels, rasterize_mesh
from recon.render.rasterize import RasterConfig, Render, rasterize
from recon.scene.nodes import Splats, View

_OPAQUE = 0.5
"""Pixels of splats that are less opaque have no depth."""
_SOLID = 0.9
"""Renders that stand in for photos count where they are more opaque than this."""
_FIRMER = 2.5
"""Added to the logits of opacities; spot's depths within 1 % grow from 74 % to 86 %, more adds dirt before scenes."""
_AGREES = 0.01
"""Depths agree when they differ by at most this share."""


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
    rank: float = 1.0
    """How much its colours count: 1 for a photo, less for a render that stands in where there is none, 0 for one that
    has only depths to show."""
    near: float = 0.0
    """Near plane, scene units: what lies before it was cut away, and nothing is known of it."""

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

    @property
    def counts(self) -> Tensor:
        """[H, W] bool: pixels of the cut-out object, or all that count."""
        whole = torch.ones_like(self.depth, dtype=torch.bool)
        for share in (self.mask, self.weight):
            whole &= True if share is None else share > 0.9
        return whole

    def only(self, where: Tensor, trust: float, rank: float, near: float = 0.0) -> SurfaceView:
        """What the pixels `where` [H, W] show, with `trust` times their confidence."""
        return replace(
            self,
            depth=torch.where(where, self.depth, 0),
            normal=torch.where(where[..., None], self.normal, 0),
            confidence=torch.where(where, trust * self.confidence, 0),
            rank=rank,
            near=near,
        )

    def pixels(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Whether homogeneous pixels [N, 3] lie in the image, [N] bool, and their flat index, 0 for the others."""
        x, y = (q[:, :2] / q[:, 2:].clamp(min=1e-9)).floor().unbind(1)
        inside = (q[:, 2] > max(1e-6, self.near)) & (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height)
        return inside, torch.where(inside, y * self.width + x, 0).long()

    def points(self) -> Tensor:
        """[H, W, 3] world points that the pixels' centres show; the camera's centre where there is no depth."""
        local = unproject(pixel_grid(self.width, self.height), self.depth, self.K)
        return local @ self.world_to_camera[:3, :3] + self.center


def surface_views(splats: Splats, views: Sequence[View], *, coverage: bool, antialias: bool) -> list[SurfaceView]:
    """Render `splats`, firmer where an object is cut out, at the cameras of `views` and read their photos.

    Splats trained on few photos are soft: half of the light has passed their outer layers, and median depths lie behind
    the surface (on spot, 9 photos, half of them by more than 0.5 % of its size). Raising all opacities moves them out.
    Not where photos are filled to their edges: there it makes haze before the cameras opaque, which nothing carves
    (fox, 9 photos, unused training photos: a mesh of 14.6 to 16.6 dB with, 20.2 dB without).

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


@dataclass(frozen=True)
class Seen:
    """The pixels [H, W] of one view in the eyes of another one; bool."""

    at: Tensor
    """The other shows something at the pixel's point."""
    through: Tensor
    """The other looks through the point at something behind it, or past its cut-out object."""


def seen_in(view: SurfaceView, other: SurfaceView) -> Seen:
    """What `other` says of the points that `view` shows. Points hidden from it, being behind, are neither."""
    q = homogeneous_pixels(view.points().reshape(-1, 3), other.world_to_camera, other.K)
    inside, pixel = other.pixels(q)
    depth = other.depth.reshape(-1)[pixel]
    ratio, shown = q[:, 2] / depth.clamp(min=1e-9), inside & (depth > 0)
    through = shown & (ratio < 1 - 2 * _AGREES)
    if other.mask is not None:
        through |= inside & (other.mask.reshape(-1)[pixel] < 0.1)
    return Seen((shown & ((ratio - 1).abs() < _AGREES)).reshape(view.depth.shape), through.reshape(view.depth.shape))


@torch.no_grad()
def agreeing(views: Sequence[SurfaceView]) -> list[SurfaceView]:
    """The views with less confidence where others contradict their depths.

    A view contradicts a point that lies before what it shows there, as floating dirt does, or outside of its cut-out
    object: it looks through the point. It agrees with one at its own depth.
    """
    out = []
    for view in views:
        pro, contra = torch.zeros_like(view.depth), torch.zeros_like(view.depth)
        for other in views:
            if other is not view:
                seen = seen_in(view, other)
                pro += seen.at
                contra += seen.through
        out.append(replace(view, confidence=view.confidence * (0.5 + pro) / (0.5 + pro + contra)))
    return out


@torch.no_grad()
def mesh_views(vertices: Tensor, faces: Tensor, views: Sequence[View], *, coverage: bool) -> list[SurfaceView]:
    """A given surface as the cameras of `views` see it, with their photos: a start from something else than splats.

    vertices: [V, 3] float32, world; faces: [F, 3]. Any triangles will do: open, crossing, not a manifold, of any
    orientation. Raises ReconError for no views and when no view sees anything.
    """
    if not views:
        raise ReconError("a mesh", found="no training views", wanted="at least one", fix="set views.train")
    normals, found = triangles.normals(vertices[faces.long()]), []
    for view in views:
        camera, pose = view.camera, view.world_to_camera.float()
        seen = rasterize_mesh(vertices, faces, pose, camera.K.float(), camera.width, camera.height)
        normal = normals[seen.face_ids.clamp(min=0).long()]
        center = -pose[:3, :3].T @ pose[:3, 3]
        rays = center - vertices[faces.long()[seen.face_ids.clamp(min=0).long(), 0]]
        normal = torch.where(((normal * rays).sum(-1) < 0)[..., None], -normal, normal)
        found.append(_assembled(view, coverage, seen.depth, normal, seen.mask.float()))
    if not any(bool((one.depth > 0).any()) for one in found):
        raise ReconError("mesh.init", found="a mesh that no training camera sees", fix="give it in the capture's units")
    return found


@torch.no_grad()
def rendered_view(
    splats: Splats,
    world_to_camera: Tensor,
    K: Tensor,
    width: int,
    height: int,
    *,
    antialias: bool,
    coverage: bool = False,
    near: float = 0.0,
) -> SurfaceView:
    """`splats` from a camera that took no photo: their picture is in its place, and counts where they are opaque.

    coverage: they are firmer, as in `surface_views`.   near: splats whose centres are nearer are left out, scene units.
    """  # fmt: skip
    splats, config = _firm(splats) if coverage else splats, RasterConfig(antialias=antialias)
    config = replace(config, near_plane=max(near, config.near_plane))
    render, depth, normal, confidence = _drawn(splats, world_to_camera, K, width, height, config)
    return SurfaceView(
        "render", world_to_camera, K, depth, normal * (depth > 0)[..., None], confidence * (depth > 0),
        render.color.clamp(0, 1), None, (render.alpha > _SOLID).float(),
    )  # fmt: skip


def _seen(splats: Splats, view: View, coverage: bool, antialias: bool) -> SurfaceView:
    pose, camera = view.world_to_camera.float(), view.camera
    size, config = (camera.width, camera.height), RasterConfig(antialias=antialias)
    _, *shown = _drawn(_firm(splats) if coverage else splats, pose, camera.K.float(), *size, config)
    return _assembled(view, coverage, *shown)


def _firm(splats: Splats) -> Splats:
    return Splats(splats.family, {**splats.params, "opacity_logits": splats["opacity_logits"] + _FIRMER})


@torch.no_grad()
def _drawn(
    splats: Splats, pose: Tensor, K: Tensor, width: int, height: int, config: RasterConfig
) -> tuple[Render, Tensor, Tensor, Tensor]:
    """The render, depths [H, W], 0 where it is not opaque, unit normals [H, W, 3] and the trust in both [H, W]."""
    render = rasterize(
        splats.params, pose, K, width, height, family=splats.family, normal=True, median_depth=True,
        config=config,
    )  # fmt: skip
    assert render.median_depth is not None and render.normal is not None
    opaque = (render.alpha > _OPAQUE) & render.median_depth.isfinite()
    length = render.normal.norm(dim=-1)
    normal = render.normal / length.clamp(min=1e-6)[..., None]
    # Normals that differ along the ray cancel: their sum is long where one surface stops the light.
    confidence = (length / render.alpha.clamp(min=1e-6)).clamp(0, 1)
    return render, torch.where(opaque, render.median_depth, 0), normal, confidence


def _assembled(view: View, coverage: bool, depth: Tensor, normal: Tensor, confidence: Tensor) -> SurfaceView:
    """With the photo; depths outside of its cut-out or of what counts are dropped."""
    image = load_image(view)
    alpha = None if image.alpha is None else torch.from_numpy(image.alpha.astype(np.float32))
    known = depth > 0
    if alpha is not None:
        known &= alpha > _OPAQUE
    return SurfaceView(
        view.name,
        view.world_to_camera.float(),
        view.camera.K.float(),
        torch.where(known, depth, 0),
        torch.where(known[..., None], normal, 0),
        torch.where(known, confidence, 0),
        torch.from_numpy(np.ascontiguousarray(image.rgb, np.float32)),
        alpha if coverage else None,
        None if coverage else alpha,
    )
