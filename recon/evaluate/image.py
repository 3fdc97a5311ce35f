"""How close renders come to photos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.evaluate.perceptual import lpips
from recon.io.images import load_image
from recon.render.image_loss import l1_ssim
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
    """[H, W, 3] float32 in [0, 1], over the background where it is transparent; the render where it does not count."""
    psnr: float
    """dB."""
    ssim: float
    """Mean structural similarity, 11 x 11 Gaussian window."""


def psnr(a: Tensor, b: Tensor, weight: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio, dB, of images [H, W, 3] of equal shape in [0, 1]; `weight` [H, W] of their pixels.

    At most 100 dB, so that equal images still give a number that JSON can hold.
    """
    if a.shape != b.shape:
        raise ValueError(f"PSNR of images {tuple(a.shape)} and {tuple(b.shape)}; wanted equal shapes")
    # Accumulated in double: float32 means of a million squares are only good to about 0.01 dB.
    squares = (a.double() - b.double()).square()
    if weight is None:
        error = float(squares.mean())
    else:
        total = float(weight.double().sum())
        error = float((squares.mean(-1) * weight.double()).sum()) / total if total > 0 else 0.0
    return -10.0 * math.log10(max(error, 1e-10))


def compare(view: View, rendered: Tensor, background: Tensor | None) -> Comparison:
    """Measure `rendered` [H, W, 3] against the photo of `view`.

    background: [3], what lies behind the photo where it is transparent, and what it was rendered on. None: the alpha
    of the photo says how much a pixel counts, so that masked pixels and those outside of the lens are left out.
    """
    image = load_image(view)
    photo = torch.from_numpy(image.rgb)
    alpha = None if image.alpha is None else torch.from_numpy(image.alpha)
    if rendered.shape != photo.shape:
        raise ReconError(
            f"view {view.name}",
            found=f"a photo of {photo.shape[1]}x{photo.shape[0]} px",
            wanted=f"{rendered.shape[1]}x{rendered.shape[0]} px as rendered",
            fix="run the poses stage again",
        )
    rendered = rendered.detach().float().cpu().clamp(0, 1)
    weight = alpha if background is None else None
    if weight is not None and not bool(weight.any()):
        raise ReconError(f"view {view.name}: its mask leaves no pixel to measure", fix="mend the mask or leave it out")
    decibel = None if weight is None else psnr(rendered, photo, weight)
    if alpha is not None:
        # Where a pixel does not count both pictures show the render: windows of SSIM that reach there see no edge.
        behind = rendered if background is None else background.float().cpu()
        photo = torch.lerp(behind.expand_as(photo), photo, alpha[..., None])
    similarity = 1.0 - float(l1_ssim(rendered, photo, weight, 1.0))
    return Comparison(view, rendered, photo, psnr(rendered, photo) if decibel is None else decibel, similarity)


def evaluate_views(
    views: Iterable[View],
    render: RenderView,
    background: Tensor | None,
    keep: Callable[[Comparison], None] | None = None,
) -> dict[str, Any]:
    """Metrics of `render` over `views`, those without a photo left out; `keep` receives every comparison.

    background: see `compare`.
    Returns `{"psnr": mean dB, "ssim": mean, "views": {name: {"psnr", "ssim"}}}`, empty when no view has a photo; and
    "lpips" where its weights are at hand.
    """
    measured: dict[str, dict[str, float]] = {}
    distance = lpips()
    for view in views:
        if view.photo is None:
            continue
        with torch.no_grad():
            comparison = compare(view, render(view), background)
        measured[view.name] = {"psnr": comparison.psnr, "ssim": comparison.ssim}
        if distance is not None:
            measured[view.name]["lpips"] = distance(comparison.rendered, comparison.photo)
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
