"""Generalized exponentials as glTF POINTS: Gaussians with an exponent, in attributes of our own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.scene.families import appearance
from recon.scene.families.codec import FamilyCodec, own_attribute
from recon.scene.families.gaussian import quats, rotations
from recon.scene.nodes import Splats

MIN_BETA, BETA_SPAN = 1.0, 8.0
"""beta = MIN_BETA + BETA_SPAN sigmoid(shape_logits), as in cuda/include/recon/families/exponential.h."""


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    exponents = MIN_BETA + BETA_SPAN * torch.sigmoid(splats["shape_logits"].detach().double())
    return {
        "POSITION": splats["means"].detach().float().numpy(),
        "COLOR_0": appearance.linear_colors(splats).float().numpy(),
        "_RECON_ROTATION": rotations(splats),
        "_RECON_SCALE3": appearance.positive(splats["log_scales"]),
        "_RECON_EXPONENT": exponents.float().numpy(),
        "_RECON_OPACITY": appearance.opacities(splats),
        appearance.SH: appearance.harmonics(splats),
    }


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    share = (torch.from_numpy(arrays["_RECON_EXPONENT"]).double() - MIN_BETA) / BETA_SPAN
    return Splats(
        "exponential",
        {
            "means": torch.from_numpy(arrays["POSITION"]),
            "quats": quats(arrays["_RECON_ROTATION"]),
            "log_scales": appearance.logarithms(arrays["_RECON_SCALE3"]),
            "opacity_logits": appearance.logits(arrays["_RECON_OPACITY"]),
            "shape_logits": torch.logit(share.clamp(1e-9, 1 - 1e-9)).float(),
            "sh_coeffs": appearance.read_harmonics(arrays, own_attribute),
        },
    )


CODEC = FamilyCodec(_to_arrays, _from_arrays, own_attribute, {})
