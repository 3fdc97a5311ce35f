"""How close renders come to photos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.io.images import load_image
from recon.render.image_loss import ssim
from recon.scene import View

RenderView = Callable[[View], Tensor]
"""Takes a view with a pinhole camera to its picture [H, W, 3], sRGB, over the background; clamped by the callee."""


@dataclass(frozen=True)
class Comparison:
    """One view's render beside its photo."""

    view: View
    rendered: Tensor
    """[H, W, 3] float32 in [0, 1]."""
    photo: Tensor
    """[H, W, 3] float32 in [0, 1], over the background where it is transparent."""
    psnr: float
    """dB."""
    ssim: float
    """Mean structural similarity, 11 x 11 Gaussian window."""


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio, dB, of images of equal shape in [0, 1].

    At most 100 dB, so that equal images still give a number that JSON can hold.
    """
    if a.shape != b.shape:
        raise ValueError(f"PSNR of images {tuple(a.shape)} and {tuple(b.shape)}; wanted equal shapes")
    # Accumulated in double: float32 means of a million squares are only good to about 0.01 dB.
    error = float((a.double() - b.double()).square().mean())
    return -10.0 * math.log10(max(error, 1e-10))


def composite(rgb: Tensor, alpha: Tensor | None, background: Tensor) -> Tensor:
    """`rgb` [H, W, 3] with straight `alpha` [H, W] over `background` [3]."""
    return rgb if alpha is None else torch.lerp(background.to(rgb), rgb, alpha[..., None])


def compare(view: View, rendered: Tensor, background: Tensor) -> Comparison:
    """Measure `rendered` [H, W, 3] against the photo of `view`, both over `background` [3]."""
    image = load_image(view)
    alpha = None if image.alpha is None else torch.from_numpy(image.alpha)
    photo = composite(torch.from_numpy(image.rgb), alpha, background.float().cpu())
    if rendered.shape != photo.shape:
        raise ReconError(
            f"view {view.name}",
            found=f"a photo of {photo.shape[1]}x{photo.shape[0]} px",
            wanted=f"{rendered.shape[1]}x{rendered.shape[0]} px as rendered",
            fix="run the poses stage again",
        )
    rendered = rendered.detach().float().cpu().clamp(0, 1)
    return Comparison(view, rendered, photo, psnr(rendered, photo), ssim(rendered, photo))


def evaluate_views(
    views: Iterable[View],
    render: RenderView,
    background: Tensor,
    keep: Callable[[Comparison], None] | None = None,
) -> dict[str, Any]:
    """Metrics of `render` over `views`, those without a photo left out; `keep` receives every comparison.

    Returns `{"psnr": mean dB, "ssim": mean, "views": {name: {"psnr", "ssim"}}}`, empty when no view has a photo.
    """
    measured: dict[str, dict[str, float]] = {}
    for view in views:
        if view.photo is None:
            continue
        with torch.no_grad():
            comparison = compare(view, render(view), background)
        measured[view.name] = {"psnr": comparison.psnr, "ssim": comparison.ssim}
        if keep is not None:
            keep(comparison)
    return summarize(measured)


def summarize(measured: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Mean of every metric over views, and the views themselves; `{}` of nothing."""
    if not measured:
        return {}
    names: Sequence[str] = list(next(iter(measured.values())))
    means = {name: sum(one[name] for one in measured.values()) / len(measured) for name in names}
    return {**means, "views": measured}
