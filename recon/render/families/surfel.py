"""2D Gaussian surfels (Huang et al. 2024): flat Gaussians hit by the pixel's ray; the third axis is the normal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.geometry import quaternion
from recon.render.families.appearance import Appearance, PinholeView
from recon.render.families.family import RenderFamily


def appearance(params: Mapping[str, Tensor], view: PinholeView) -> Appearance:
    """Plain-torch twin: rays meet planes, exp(-0.5 min(|s|^2, 2 |d|^2)). Source: Huang et al. 2024, eq. 4 to 11."""
    means, rotation = params["means"], quaternion.to_matrix(params["quats"])
    centers = view.to_camera(means)
    axes = view.world_to_camera[:3, :3] @ (rotation[..., :2] * params["log_scales"].exp()[:, None, :])
    normal = torch.linalg.cross(axes[..., 0], axes[..., 1])
    means2d = view.project(centers)
    offsets = view.offsets(means2d)
    pixels = offsets + means2d
    focal, middle = view.K.diagonal()[:2], view.K[:2, 2]
    rays = torch.cat([(pixels - middle) / focal, torch.ones_like(pixels[..., :1])], dim=-1)
    z = (normal * centers).sum(-1) / (normal * rays).sum(-1)
    hits = rays * z[..., None] - centers
    # Coordinates along the two axes, in units of their deviations.
    s = torch.einsum("hwni,nki->hwnk", hits, torch.linalg.pinv(axes))
    disc, low_pass = (s * s).sum(-1), 2 * (offsets * offsets).sum(-1)
    on_disc = (disc < low_pass) & (z > 0)
    return Appearance(
        centers=means,
        means2d=means2d,
        depths=centers[:, 2],
        alphas=torch.sigmoid(params["opacity_logits"]) * torch.exp(-0.5 * torch.where(on_disc, disc, low_pass)),
        normals=view.facing(rotation[..., 2], means),
        visible=(centers[:, 2] > view.near_plane) & (centers[:, 2] < view.far_plane),
        pixel_depths=torch.where(on_disc, z, centers[:, 2]),
    )


SURFEL = RenderFamily(
    name="surfel",
    parameters={"means": (3,), "quats": (4,), "log_scales": (2,), "opacity_logits": ()},
    native="surfel",
    pixel_depth=True,
    appearance=appearance,
)
