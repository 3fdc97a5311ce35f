"""Insides seen from outside: renders of the splats whose front is cut away by the near plane.

A cup's inner wall is seen by the few cameras that look into it. With the near side of the cup cut away, all cameras
see it, for splats can be rendered from there on. Of a solid a cut shows the back from within, where there is nothing to
see: only what a photo shows as well, and from the same side, counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.mesh.views import SurfaceView, rendered_view
from recon.render.mesh import homogeneous_pixels
from recon.scene.nodes import Splats

_SAME = 0.02
"""Depths of a slice and a photo that differ by at most this share are of one surface."""
_FACING = 0.5
"""Least cosine between their normals."""


@config
class SliceConfig:
    """Renders with the near plane inside of the subject."""

    count: Annotated[int, Field(ge=0, le=16)] = 0
    """Near planes for each training camera, evenly between the nearest and the farthest that it shows. None by default:
    what photos must confirm they mostly know already."""
    trust: Annotated[float, Field(gt=0, le=1)] = 0.5
    """In what they show, beside what photos confirm."""


@torch.no_grad()
def sliced_views(
    splats: Splats, photos: Sequence[SurfaceView], config: SliceConfig, *, coverage: bool, antialias: bool
) -> list[SurfaceView]:
    """What is behind the near planes and was hidden by what they cut away, as far as photos confirm it.

    coverage: photos are cut out, as for `surface_views`. Slices that show nothing new are left out.
    """
    found = []
    for photo in photos:
        shown = photo.depth[photo.depth > 0]
        if not len(shown) or config.count == 0:
            continue
        low, high = (float(shown.quantile(q)) for q in (0.01, 0.99))
        gap = 0.1 * (high - low)
        for step in range(1, config.count + 1):
            near = low + (high - low) * step / (config.count + 1)
            camera = (photo.world_to_camera, photo.K, photo.width, photo.height)
            view = rendered_view(splats, *camera, near=near, coverage=coverage, antialias=antialias)
            # What lies right behind the plane is what is left of splats that it cut, and belongs to the front.
            least = torch.maximum(photo.depth + 2 * gap, torch.full_like(photo.depth, near + gap))
            new = (photo.depth > 0) & (photo.depth < near) & (view.depth > least)
            new &= _confirmed(view, photos)
            if bool(new.any()):
                found.append(view.only(new, config.trust, rank=0.0, near=near))
    return found


def _confirmed(view: SurfaceView, photos: Sequence[SurfaceView]) -> Tensor:
    """[H, W] bool: a photo shows the pixel's point, from the side that the view sees."""
    points, normals = view.points().reshape(-1, 3), view.normal.reshape(-1, 3)
    confirmed = torch.zeros(len(points), dtype=torch.bool)
    for photo in photos:
        q = homogeneous_pixels(points, photo.world_to_camera, photo.K)
        inside, pixel = photo.pixels(q)
        depth = photo.depth.reshape(-1)[pixel]
        same = inside & (depth > 0) & ((q[:, 2] / depth.clamp(min=1e-9) - 1).abs() < _SAME)
        confirmed |= same & ((photo.normal.reshape(-1, 3)[pixel] * normals).sum(1) > _FACING)
    return confirmed.reshape(view.depth.shape)
