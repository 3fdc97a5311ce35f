"""Plain-torch twin of the rasteriser: every formula written out, any dtype, differentiated by autograd.

For tests and for reading. It evaluates every primitive at every pixel, so keep to a few hundred of both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.geometry import spherical_harmonics
from recon.render.families import FAMILIES
from recon.render.families.appearance import PinholeView
from recon.render.library import core
from recon.render.rasterize import RasterConfig, Render


def rasterize_reference(
    params: Mapping[str, Tensor],
    world_to_camera: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    family: str = "gaussian",
    sh_degree: int | None = None,
    background: Tensor | None = None,
    features: Tensor | None = None,
    config: RasterConfig | None = None,
) -> Render:
    """Render primitives as one camera sees them, with every output of `rasterize`.

    Arguments as in `recon.render.rasterize.rasterize`, with world_to_camera [4, 4] and Ks [3, 3]. `radii` are 1 for
    primitives that touch a pixel and 0 for others. Source: Kerbl et al. 2023, eq. 3, and the families' papers.
    """
    config = config or RasterConfig()
    view = PinholeView(
        world_to_camera, Ks, width, height, config.near_plane, config.far_plane, config.eps2d, config.antialias
    )
    seen = FAMILIES[family].appearance(params, view)
    direction = torch.nn.functional.normalize(seen.centers - view.center, dim=-1)
    colors = (spherical_harmonics.evaluate(params["sh_coeffs"], direction, sh_degree) + 0.5).clamp_min(0)

    order = torch.argsort(seen.depths.detach(), stable=True)
    order = order[seen.visible[order]]
    alpha = seen.alphas[..., order].clamp(max=config.alpha_max)
    alpha = torch.where(alpha >= core.MIN_ALPHA, alpha, torch.zeros_like(alpha))
    touched = torch.zeros(len(seen.depths), dtype=torch.int32)
    touched[order] = (alpha > 0).flatten(0, 1).any(0).int()
    # A pixel is finished before the first primitive that would leave too little behind it.
    through = torch.cumprod(1 - alpha, dim=-1)
    alpha = torch.where(through > core.MIN_TRANSMITTANCE, alpha, torch.zeros_like(alpha))
    before = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha], dim=-1), dim=-1)
    weights = before[..., :-1] * alpha
    transmittance = before[..., -1]
    color = weights @ colors[order]
    if background is not None:
        color = color + transmittance[..., None] * background
    crossing = (before[..., :-1] > 0.5) & (before[..., 1:] <= 0.5)
    z = seen.depths[order] if seen.pixel_depths is None else seen.pixel_depths[..., order]
    return Render(
        color=color,
        alpha=1 - transmittance,
        depth=(weights * z).sum(-1) / (1 - transmittance).clamp_min(1e-6),
        median_depth=(crossing * z).sum(-1),
        normal=weights @ seen.normals[order],
        features=None if features is None else weights @ features[order],
        radii=touched,
        means2d=seen.means2d.detach(),
    )
