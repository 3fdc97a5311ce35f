"""3D smooth convexes (Held et al. 2025): alpha = opacity sigmoid(-z sigma log sum exp(z delta L_k)).

L_k is the signed area that a pixel spans with edge k of the convex hull of the projected points, negative inside.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.render.families.appearance import Appearance, PinholeView
from recon.render.families.family import RenderFamily

FOCAL = 1000.0
"""px. The areas L_k are those that a camera of this focal length would see, so that the image's resolution plays no
part; the published constants are for about this one."""


def appearance(params: Mapping[str, Tensor], view: PinholeView) -> Appearance:
    """Plain-torch twin, hull by trying every pair of points. Source: Held et al. 2025 (3DCS), eq. 2 to 4."""
    points = params["points"]
    camera_points = view.to_camera(points)
    centers = points.mean(1)
    depths = view.to_camera(centers)[:, 2]
    corners = view.project(camera_points)
    count = points.shape[1]
    edges = corners[:, None, :, :] - corners[:, :, None, :]  # [N, i, j, 2] from i to j
    sides = edges[:, :, :, None, 0] * edges[:, :, None, :, 1] - edges[:, :, :, None, 1] * edges[:, :, None, :, 0]
    others = ~torch.eye(count, dtype=torch.bool)
    third = others[:, None, :] & others[None, :, :]  # [i, j, k], k is neither
    on_hull = ((sides < 0) | ~third).all(-1) & others
    scale = depths * params["log_deltas"].exp() * FOCAL**2 / (view.K[0, 0] * view.K[1, 1])
    pixels = view.offsets(corners.flatten(0, 1)).unflatten(2, (-1, count))  # [H, W, N, i, 2]
    areas = edges[..., 0] * pixels[..., :, None, 1] - edges[..., 1] * pixels[..., :, None, 0]
    levels = torch.where(on_hull, scale[:, None, None] * areas, -torch.inf)
    phi = levels.flatten(-2).logsumexp(-1)
    opacity = torch.sigmoid(params["opacity_logits"])
    return Appearance(
        centers=centers,
        means2d=view.project(view.to_camera(centers)),
        depths=depths,
        alphas=opacity * torch.sigmoid(-depths * params["log_sigmas"].exp() * phi),
        normals=torch.nn.functional.normalize((view.center - centers).detach(), dim=-1),
        visible=(camera_points[..., 2] > view.near_plane).all(1) & (depths < view.far_plane),
    )


CONVEX = RenderFamily(
    name="convex",
    parameters={"points": (None, 3), "log_deltas": (), "log_sigmas": (), "opacity_logits": ()},
    native="convex{}",
    native_points=(6, 8),
    appearance=appearance,
)
