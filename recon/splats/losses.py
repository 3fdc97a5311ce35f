"""How far a render is from its photo."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.render.image_loss import l1_ssim
from recon.splats.config import LossConfig
from recon.splats.photos import TrainingPhoto

_PATCH = 9  # px, side of the patches that are left out or not: fine detail is not told from what moved by one pixel


def choose_background(
    photo: TrainingPhoto, config: LossConfig, capture: tuple[float, float, float] | None, generator: torch.Generator
) -> Tensor:
    """Colour [3] behind the splats in this iteration; black where nothing else is known."""
    if photo.alpha is not None and config.background == "random":
        return torch.rand(3, generator=generator).to(photo.rgb.device)
    return torch.tensor((0.0, 0.0, 0.0) if capture is None else capture, device=photo.rgb.device)


def photometric_loss(render: Tensor, photo: TrainingPhoto, background: Tensor, config: LossConfig) -> Tensor:
    """Scalar loss of a render [H, W, 3] that was made on `background` [3]."""
    target, weight = photo.target(background), photo.weight
    if config.trim > 0:
        kept = _near(render.detach(), target, config.trim)
        weight = kept if weight is None else weight * kept
    return l1_ssim(render, target, weight, config.ssim_weight)


def _near(render: Tensor, target: Tensor, share: float) -> Tensor:
    """[H, W], 0 at that share of the pixels whose surroundings are furthest from the target's, else 1."""
    error = torch.nn.functional.avg_pool2d(
        (render - target).abs().mean(-1)[None], _PATCH, 1, _PATCH // 2, count_include_pad=False
    )[0]
    return (error <= error.flatten().kthvalue(max(1, round((1 - share) * error.numel()))).values).float()


def squared_error(render: Tensor, photo: TrainingPhoto, background: Tensor) -> float:
    """Mean squared error of a render [H, W, 3] where the photo counts."""
    difference = (render.detach().clamp(0, 1) - photo.target(background)).square_()
    if photo.weight is None:
        return float(difference.mean())
    return float((difference.mean(-1) * photo.weight).sum() / photo.weight.sum().clamp_min(1e-8))
