"""3D Gaussians as glTF POINTS with KHR_gaussian_splatting (release candidate of 2026)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from recon.geometry import quaternion, spherical_harmonics
from recon.scene.families.codec import FamilyCodec
from recon.scene.nodes import Splats

KHR = "KHR_gaussian_splatting"
_SH = "SH"
# Largest opacity whose logit is finite in float32, and the smallest scale whose logarithm is.
_MAX_OPACITY, _MIN_OPACITY, _MIN_SCALE = 1 - 2.0**-24, 1e-30, 1e-30


def _to_arrays(splats: Splats) -> dict[str, np.ndarray]:
    # Through double: exp and the logistic function in float would cost the round trip a digit.
    quats = quaternion.normalize(splats["quats"].detach().double())
    w, x, y, z = quats.unbind(-1)
    sh = splats["sh_coeffs"].detach().float()
    color = spherical_harmonics.to_rgb(sh[:, 0].double()).clamp(0, 1)
    linear = torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return {
        "POSITION": splats["means"].detach().float().numpy(),
        "COLOR_0": torch.cat([linear, torch.sigmoid(splats["opacity_logits"].detach().double())[:, None]], 1)
        .float()
        .numpy(),
        f"{KHR}:ROTATION": torch.stack([x, y, z, w], dim=-1).float().numpy(),
        f"{KHR}:SCALE": splats["log_scales"].detach().double().exp().float().numpy(),
        f"{KHR}:OPACITY": torch.sigmoid(splats["opacity_logits"].detach().double()).float().numpy(),
        _SH: sh.numpy(),
    }


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Splats:
    coefficients = [arrays[_attribute(f"{_SH}/{k}")] for k in range(16) if _attribute(f"{_SH}/{k}") in arrays]
    for k in range(spherical_harmonics.count(math.ceil(max(len(coefficients), 1) ** 0.5) - 1)):
        if _attribute(f"{_SH}/{k}") not in arrays:
            raise KeyError(_attribute(f"{_SH}/{k}"))
    x, y, z, w = torch.from_numpy(arrays[f"{KHR}:ROTATION"]).unbind(-1)
    opacity = torch.from_numpy(arrays[f"{KHR}:OPACITY"]).double().clamp(_MIN_OPACITY, _MAX_OPACITY)
    return Splats(
        "gaussian",
        {
            "means": torch.from_numpy(arrays["POSITION"]),
            "quats": torch.stack([w, x, y, z], dim=-1),
            "log_scales": torch.from_numpy(arrays[f"{KHR}:SCALE"]).double().clamp_min(_MIN_SCALE).log().float(),
            "opacity_logits": torch.logit(opacity).float(),
            "sh_coeffs": torch.from_numpy(np.stack(coefficients, axis=1)),
        },
    )


def _attribute(array: str) -> str:
    """`SH/5` is coefficient 1 of degree 2."""
    if not array.startswith(f"{_SH}/"):
        return array
    index = int(array.split("/")[1])
    degree = int(index**0.5)
    return f"{KHR}:SH_DEGREE_{degree}_COEF_{index - degree * degree}"


CODEC = FamilyCodec(
    _to_arrays, _from_arrays, _attribute, {KHR: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}}
)
