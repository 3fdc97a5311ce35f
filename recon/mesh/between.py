"""Views that no photo was taken of, where splats can say what photos do not show.

New cameras look past the borders of the training photos and behind what stands before the wall there. Splats fill both
by and large, so renders of cameras between the training ones, with wider images, stand in for photos: the surface is
fused from their depths and compared with them as well, and they colour what no photo shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.geometry import quaternion
from recon.mesh.views import SurfaceView, rendered_view
from recon.scene.nodes import Splats


@config
class BetweenConfig:
    """Renders of the splats beside the photos, of scenes that are not cut out."""

    neighbors: Annotated[int, Field(ge=0, le=8)] = 3
    """Every training camera is given a render halfway to each of so many nearest others."""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Added on each side of renders, as a share of the photo's width and height. With 0 there are none at the training
    cameras themselves."""
    trust: Annotated[float, Field(gt=0, le=1)] = 0.3
    """In depths and normals of renders, beside those that photos confirm."""
    rank: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Weight of a render's colours beside a photo's."""


@torch.no_grad()
def views_between(
    splats: Splats, photos: Sequence[SurfaceView], config: BetweenConfig, *, antialias: bool
) -> list[SurfaceView]:
    """Renders at and between the cameras of `photos`, those that show any depth; none when `config` asks for none."""
    poses = [view.world_to_camera for view in photos] if config.margin > 0 else []
    sizes = list(photos) if config.margin > 0 else []
    for a, b in _pairs(photos, config.neighbors):
        poses.append(halfway(photos[a].world_to_camera, photos[b].world_to_camera))
        sizes.append(photos[a])
    found = []
    for pose, like in zip(poses, sizes, strict=True):
        x, y = round(config.margin * like.width), round(config.margin * like.height)
        K = like.K.clone()
        K[:2, 2] += torch.tensor([x, y], dtype=K.dtype)
        view = rendered_view(splats, pose, K, like.width + 2 * x, like.height + 2 * y, antialias=antialias)
        if bool((view.depth > 0).any()):
            found.append(replace(view, confidence=config.trust * view.confidence, rank=config.rank))
    return found


def halfway(a: Tensor, b: Tensor) -> Tensor:
    """The camera [4, 4] in the middle between two of them, world to camera: by position, and by the shorter turn."""
    first, second = quaternion.from_matrix(a[:3, :3]), quaternion.from_matrix(b[:3, :3])
    # Of two unit quaternions the sum points halfway along the shorter arc, once both are on one side.
    turn = first + torch.where((first * second).sum() < 0, -second, second)
    rotation = quaternion.to_matrix(quaternion.normalize(turn))
    center = -(a[:3, :3].T @ a[:3, 3] + b[:3, :3].T @ b[:3, 3]) / 2
    out = torch.eye(4, dtype=a.dtype)
    out[:3, :3], out[:3, 3] = rotation, -rotation @ center
    return out


def _pairs(photos: Sequence[SurfaceView], neighbors: int) -> list[tuple[int, int]]:
    """Pairs of each camera and its nearest others, each pair once."""
    centers = torch.stack([view.center for view in photos])
    order = torch.cdist(centers, centers).argsort(dim=1, stable=True)[:, 1 : 1 + neighbors].tolist()
    return sorted({(min(a, b), max(a, b)) for a, others in enumerate(order) for b in others if a != b})
