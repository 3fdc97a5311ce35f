"""3D smooth convexes as glTF POINTS: the mean of each hull's points, and the points in attributes of our own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.scene.families import appearance
from recon.scene.families.codec import FamilyCodec, own_attribute
from recon.scene.nodes import Splats


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    points = splats["points"].detach().float()
    return {
        "POSITION": points.mean(1).numpy(),
        "COLOR_0": appearance.linear_colors(splats).float().numpy(),
        "_RECON_POINT": points.numpy(),
        "_RECON_DELTA": appearance.positive(splats["log_deltas"]),
        "_RECON_SIGMA": appearance.positive(splats["log_sigmas"]),
        "_RECON_OPACITY": appearance.opacities(splats),
        appearance.SH: appearance.harmonics(splats),
    }


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    points = [
        arrays[own_attribute(f"_RECON_POINT/{k}")] for k in range(8) if own_attribute(f"_RECON_POINT/{k}") in arrays
    ]
    if len(points) < 3:
        raise KeyError(own_attribute(f"_RECON_POINT/{len(points)}"))
    return Splats(
        "convex",
        {
            "points": torch.from_numpy(np.stack(points, axis=1)),
            "log_deltas": appearance.logarithms(arrays["_RECON_DELTA"]),
            "log_sigmas": appearance.logarithms(arrays["_RECON_SIGMA"]),
            "opacity_logits": appearance.logits(arrays["_RECON_OPACITY"]),
            "sh_coeffs": appearance.read_harmonics(arrays, own_attribute),
        },
    )


CODEC = FamilyCodec(_to_arrays, _from_arrays, own_attribute, {})
