"""gsplat without a GPU: its projection and harmonics in torch, and its compositing as its kernel does it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def composited(
    leaves: Mapping[str, Tensor], camera: Tensor, K: Tensor, size: tuple[int, int], antialias: bool = False
) -> tuple[Tensor, Tensor]:
    """Colour [H, W, 3] over black and alpha [H, W] from gsplat's projection and harmonics, composited as it does."""
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _spherical_harmonics

    width, height = size
    covariances, _ = _quat_scale_to_covar_preci(leaves["quats"], leaves["log_scales"].exp(), compute_preci=False)
    _, means2d, depths, conics, compensations = (
        None if value is None else value[0]
        for value in _fully_fused_projection(
            leaves["means"], covariances, camera[None], K[None], width, height, calc_compensations=antialias
        )
    )
    degree = int(leaves["sh_coeffs"].shape[1] ** 0.5) - 1
    position = -camera[:3, :3].T @ camera[:3, 3]
    shade = _spherical_harmonics(degree, leaves["means"] - position, leaves["sh_coeffs"])
    colors = (shade + 0.5).clamp_min(0)
    opacities = leaves["opacity_logits"].sigmoid()
    if compensations is not None:
        opacities = opacities * compensations
    rows, columns = (torch.arange(size, dtype=K.dtype) + 0.5 for size in (height, width))
    ys, xs = torch.meshgrid(rows, columns, indexing="ij")
    order = [int(i) for i in depths.argsort() if float(depths[i].detach()) > 0.01]
    transmittance, color = torch.ones(height, width, dtype=K.dtype), torch.zeros(height, width, 3, dtype=K.dtype)
    for i in order:
        dx, dy = means2d[i, 0] - xs, means2d[i, 1] - ys
        a, b, c = conics[i]
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[i] * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where((alpha >= 1 / 255) & (power >= 0), alpha, 0.0)
        alpha = torch.where(transmittance * (1 - alpha) > 1e-4, alpha, 0.0)
        color = color + (transmittance * alpha)[..., None] * colors[i]
        transmittance = transmittance * (1 - alpha)
    return color, 1 - transmittance
