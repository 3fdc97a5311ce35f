"""Triangles as glTF TRIANGLES that any viewer shows. What a triangle has once, its three vertices repeat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.scene.families import appearance
from recon.scene.families.codec import FamilyCodec, own_attribute
from recon.scene.nodes import Splats

MIN_SIGMA = 0.01
"""sigma = MIN_SIGMA + exp(log_sigmas), as in cuda/include/recon/families/triangle.h."""


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    sigmas = MIN_SIGMA + splats["log_sigmas"].detach().double().exp()
    each = {
        "COLOR_0": appearance.linear_colors(splats).float().numpy(),
        "_RECON_SIGMA": sigmas.float().numpy(),
        "_RECON_OPACITY": appearance.opacities(splats),
        appearance.SH: appearance.harmonics(splats),
    }
    corners = splats["vertices"].detach().float().reshape(-1, 3).numpy()
    return {"POSITION": corners, **{name: np.repeat(values, 3, axis=0) for name, values in each.items()}}


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    first = {name: np.ascontiguousarray(values[::3]) for name, values in arrays.items() if name != "POSITION"}
    excess = torch.from_numpy(first["_RECON_SIGMA"]).double() - MIN_SIGMA
    return Splats(
        "triangle",
        {
            "vertices": torch.from_numpy(arrays["POSITION"]).reshape(-1, 3, 3),
            "log_sigmas": excess.clamp_min(1e-9).log().float(),
            "opacity_logits": appearance.logits(first["_RECON_OPACITY"]),
            "sh_coeffs": appearance.read_harmonics(first, own_attribute),
        },
    )


CODEC = FamilyCodec(_to_arrays, _from_arrays, own_attribute, {}, rows=3)
