"""3D Gaussians (Kerbl et al. 2023): alpha = opacity exp(-0.5 d^T S^-1 d)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from recon.render.families.appearance import Appearance, PinholeView
from recon.render.families.ellipse import ellipse_appearance
from recon.render.families.family import RenderFamily


def appearance(params: Mapping[str, Tensor], view: PinholeView) -> Appearance:
    """Plain-torch twin."""
    return ellipse_appearance(params, view, None)


GAUSSIAN = RenderFamily(
    name="gaussian",
    parameters={"means": (3,), "quats": (4,), "log_scales": (3,), "opacity_logits": ()},
    native="gaussian",
    antialias=True,
    appearance=appearance,
)
