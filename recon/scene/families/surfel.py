"""2D Gaussian surfels as glTF POINTS with attributes of our own; the third axis of the rotation is the normal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.geometry import quaternion
from recon.scene.families import appearance
from recon.scene.families.codec import FamilyCodec, own_attribute
from recon.scene.families.gaussian import quats, rotations
from recon.scene.nodes import Splats


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    normals = quaternion.to_matrix(splats["quats"].detach().double())[..., 2]
    return {
        "POSITION": splats["means"].detach().float().numpy(),
        "NORMAL": normals.float().numpy(),
        "COLOR_0": appearance.linear_colors(splats).float().numpy(),
        "_RECON_ROTATION": rotations(splats),
        "_RECON_SCALE2": appearance.positive(splats["log_scales"]),
        "_RECON_OPACITY": appearance.opacities(splats),
        appearance.SH: appearance.harmonics(splats),
    }


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    return Splats(
        "surfel",
        {
            "means": torch.from_numpy(arrays["POSITION"]),
            "quats": quats(arrays["_RECON_ROTATION"]),
            "log_scales": appearance.logarithms(arrays["_RECON_SCALE2"]),
            "opacity_logits": appearance.logits(arrays["_RECON_OPACITY"]),
            "sh_coeffs": appearance.read_harmonics(arrays, own_attribute),
        },
    )


CODEC = FamilyCodec(_to_arrays, _from_arrays, own_attribute, {})
