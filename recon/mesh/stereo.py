"""Where photos agree on the surface: multi-view stereo that starts at what the splats show.

Splats trained on few photos show right pictures at wrong depths: haze before the surface, dents behind it. Every pixel
is offered the plane that the splats show there and those that other views show along its ray, from whichever side:
a sheet that is known from its front is so at hand for views of its back. Sweeps of PatchMatch stereo choose and move
them. What photos agree on clearly better, and another view confirms, replaces the splats' depths; the rest stays, and
counts less where photos disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry.camera import Camera
from recon.geometry.occlusion import nearest_in_cell
from recon.mesh.views import SurfaceView, seen_in
from recon.render.mesh import homogeneous_pixels
from recon.scene.nodes import View
from recon.stereo.depth_maps import StereoConfig
from recon.stereo.neighbors import choose_sources
from recon.stereo.planes import plane_normals, planes_of

_POINTS = 20_000
"""That stand for what the views show, where sources are chosen."""


@config
class SettleConfig:
    """Stereo on the splats' depths."""

    sources: Annotated[int, Field(ge=0, le=8)] = 4
    """Other photos to compare a photo with, at most; 0 keeps the splats' depths."""
    best: Annotated[int, Field(ge=1, le=8)] = 1
    """Of those, how many a pixel is judged by: few photos all around show most points only two or three times."""
    radius: Annotated[int, Field(ge=1, le=12)] = 3
    """Half the side of the compared windows, px."""
    sweeps: Annotated[int, Field(ge=1, le=20)] = 3
    """Sweeps on photos alone, and then in each round."""
    rounds: Annotated[int, Field(ge=0, le=8)] = 2
    """Times that views see each other's depths, which then count as well."""
    worst_cost: Annotated[float, Field(gt=0, le=2)] = 0.8
    """Depths of higher cost are not taken over; 0: the photos agree, 1: they have nothing in common."""
    gain: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Nor are those whose cost is not lower by this than that of the splats' depths."""
    doubt: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Factor on the trust in depths of the splats whose cost is higher than `worst_cost`."""


@torch.no_grad()
def settled(views: Sequence[SurfaceView], config: SettleConfig, seed: int = 0) -> list[SurfaceView]:
    """The views with the depths and normals that their photos agree on, as far as they do; see `SettleConfig`."""
    from recon.stereo.search import PlaneSearch, ReducedPhoto

    shown = [view.points()[view.depth > 0] for view in views]
    points = torch.cat(shown).double()
    if config.sources == 0 or len(views) < 2 or not len(points):
        return list(views)
    photos = [ReducedPhoto(_camera(view), view.photo.numpy(), _counts(view).numpy()) for view in views]
    sources = choose_sources(
        [photo.view for photo in photos], points[:: max(1, len(points) // _POINTS)], config.sources
    )
    stereo = StereoConfig(
        sources=config.sources, best=config.best, radius=config.radius, sweeps=config.sweeps,
        geometric_sweeps=config.sweeps, levels=1,
    )  # fmt: skip
    depths = torch.cat([view.depth[view.depth > 0] for view in views])
    limits = 0.8 * float(depths.min()), 1.3 * float(depths.max())
    generator = torch.Generator().manual_seed(seed)
    searches, given = [], []
    for view, photo, own in zip(views, photos, sources, strict=True):
        search = PlaneSearch(photo, [photos[j] for j in own], limits, stereo, generator)
        others = [_drawn_into(view, other) for other in views if other is not view]
        guesses = [(view.depth, view.normal), *others]
        given.append(search.settle([planes_of(*guess, view.K, view.world_to_camera) for guess in guesses]))
        searches.append(search)
    for _ in range(config.rounds):
        found = [search.inverse_depth() for search in searches]
        for search, own in zip(searches, sources, strict=True):
            search.agree([found[j] for j in own])
    results = [search.result() for search in searches]
    moved = [_moved(view, planes) for view, (planes, _) in zip(views, results, strict=True)]
    out = []
    for view, new, (_, cost), before in zip(views, moved, results, given, strict=True):
        confirmed = torch.stack([seen_in(new, other).at for other in moved if other is not new]).any(0)
        better = (cost < config.worst_cost) & (cost < before - config.gain) & confirmed & (view.depth > 0)
        doubtful = ~better & (before > config.worst_cost)
        out.append(
            replace(
                view,
                depth=torch.where(better, new.depth, view.depth),
                normal=torch.where(better[..., None], new.normal, view.normal),
                confidence=torch.where(better, 1.0, torch.where(doubtful, config.doubt, 1.0) * view.confidence),
            )
        )
    return out


def _camera(view: SurfaceView) -> View:
    return View(view.name, Camera(view.width, view.height, view.K.double()), view.world_to_camera.double())


def _counts(view: SurfaceView) -> Tensor:
    """[H, W] bool: the photo says something here."""
    counts = torch.ones_like(view.depth, dtype=torch.bool)
    for given in (view.mask, view.weight):
        counts &= True if given is None else given > 0.5
    return counts


def _drawn_into(view: SurfaceView, other: SurfaceView) -> tuple[Tensor, Tensor]:
    """What `other` shows, as `view` sees its points: depth [H, W], 0 between them, and normals that face `view`."""
    shown = other.depth > 0
    points, normals = other.points()[shown], other.normal[shown]
    q = homogeneous_pixels(points, view.world_to_camera, view.K)
    inside, pixel = view.pixels(q)
    z = q[:, 2]
    first = inside & (z == nearest_in_cell(q[:, :2] / z[:, None], z, inside, 1.0))
    facing = torch.where(((view.center - points) * normals).sum(1, keepdim=True) < 0, -normals, normals)
    depth, normal = torch.zeros(view.height * view.width), torch.zeros(view.height * view.width, 3)
    depth[pixel[first]], normal[pixel[first]] = z[first], facing[first]
    return depth.reshape(view.height, view.width), normal.reshape(view.height, view.width, 3)


def _moved(view: SurfaceView, planes: Tensor) -> SurfaceView:
    """The view with the depths and normals of planes, where it had depths."""
    known = view.depth > 0
    normal = plane_normals(planes[0], planes[1:], view.K, view.world_to_camera)
    return replace(
        view,
        depth=torch.where(known, 1 / planes[0].clamp(min=1e-9), 0),
        normal=torch.where(known[..., None], normal, 0),
    )
