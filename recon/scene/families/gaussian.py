"""3D Gaussians as glTF POINTS with KHR_gaussian_splatting (release candidate of 2026)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.geometry import quaternion
from recon.scene.families import appearance
from recon.scene.families.codec import FamilyCodec
from recon.scene.nodes import Splats

KHR = "KHR_gaussian_splatting"


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    return {
        "POSITION": splats["means"].detach().float().numpy(),
        "COLOR_0": appearance.linear_colors(splats).float().numpy(),
        f"{KHR}:ROTATION": rotations(splats),
        f"{KHR}:SCALE": appearance.positive(splats["log_scales"]),
        f"{KHR}:OPACITY": appearance.opacities(splats),
        appearance.SH: appearance.harmonics(splats),
    }


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    return Splats(
        "gaussian",
        {
            "means": torch.from_numpy(arrays["POSITION"]),
            "quats": quats(arrays[f"{KHR}:ROTATION"]),
            "log_scales": appearance.logarithms(arrays[f"{KHR}:SCALE"]),
            "opacity_logits": appearance.logits(arrays[f"{KHR}:OPACITY"]),
            "sh_coeffs": appearance.read_harmonics(arrays, _attribute),
        },
    )


def rotations(splats: Splats) -> np.ndarray:
    """Unit quaternions xyzw, [N, 4] float32."""
    w, x, y, z = quaternion.normalize(splats["quats"].detach().double()).unbind(-1)
    return torch.stack([x, y, z, w], dim=-1).float().numpy()


def quats(rotation: np.ndarray) -> torch.Tensor:
    """Quaternions wxyz of xyzw."""
    x, y, z, w = torch.from_numpy(rotation).unbind(-1)
    return torch.stack([w, x, y, z], dim=-1)


def _attribute(array: str) -> str:
    return appearance.sh_attribute(array, f"{KHR}:")


CODEC = FamilyCodec(
    _to_arrays, _from_arrays, _attribute, {KHR: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}}
)
