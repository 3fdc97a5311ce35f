"""Generalized exponentials (Hamdi et al. 2024): alpha = opacity exp(-0.5 (d^T S^-1 d)^(beta / 2)).

beta = 1 + 8 sigmoid(shape_logits), so 2, a Gaussian, is at log(1/7).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from recon.render.families.appearance import Appearance, PinholeView
from recon.render.families.ellipse import ellipse_appearance
from recon.render.families.family import RenderFamily

MIN_BETA, BETA_SPAN = 1.0, 8.0


def exponents(shape_logits: Tensor) -> Tensor:
    """beta [N] from shape_logits [N]."""
    return MIN_BETA + BETA_SPAN * shape_logits.sigmoid()


def appearance(params: Mapping[str, Tensor], view: PinholeView) -> Appearance:
    """Plain-torch twin."""
    return ellipse_appearance(params, view, exponents(params["shape_logits"]))


EXPONENTIAL = RenderFamily(
    name="exponential",
    parameters={"means": (3,), "quats": (4,), "log_scales": (3,), "opacity_logits": (), "shape_logits": ()},
    native="exponential",
    antialias=True,
    appearance=appearance,
)
