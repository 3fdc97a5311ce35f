"""Harmonics and opacities, which all families store alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from recon.geometry import spherical_harmonics
from recon.scene.nodes import Splats

SH = "SH"
"""Array [N, K, 3]; its part `SH/5` is coefficient 1 of degree 2."""

# Largest opacity whose logit is finite in float32, and the smallest scale whose logarithm is.
MAX_OPACITY, MIN_OPACITY, MIN_POSITIVE = 1 - 2.0**-24, 1e-30, 1e-30


def harmonics(splats: Splats) -> np.ndarray:
    """[N, K, 3] float32."""
    return splats["sh_coeffs"].detach().float().numpy()


def linear_colors(splats: Splats) -> Tensor:
    """[N, 4] float64: linear colour without direction, and opacity, for readers that show points."""
    color = spherical_harmonics.to_rgb(splats["sh_coeffs"].detach()[:, 0].double()).clamp(0, 1)
    linear = torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return torch.cat([linear, torch.sigmoid(splats["opacity_logits"].detach().double())[:, None]], 1)


def positive(logarithms: Tensor) -> np.ndarray:
    """exp as float32. Through double: exp and the logistic function in float would cost the round trip a digit."""
    return logarithms.detach().double().exp().float().numpy()


def opacities(splats: Splats) -> np.ndarray:
    """[N] float32 in [0, 1]."""
    return torch.sigmoid(splats["opacity_logits"].detach().double()).float().numpy()


def logarithms(values: np.ndarray) -> Tensor:
    """The inverse of `positive`."""
    return torch.from_numpy(values).double().clamp_min(MIN_POSITIVE).log().float()


def logits(values: np.ndarray) -> Tensor:
    """The inverse of the logistic function, of opacities."""
    return torch.logit(torch.from_numpy(values).double().clamp(MIN_OPACITY, MAX_OPACITY)).float()


def sh_attribute(array: str, prefix: str) -> str:
    """glTF attribute of `SH/5`; other names stay as they are."""
    if not array.startswith(f"{SH}/"):
        return array
    index = int(array.split("/")[1])
    degree = int(index**0.5)
    return f"{prefix}SH_DEGREE_{degree}_COEF_{index - degree * degree}"


def read_harmonics(arrays: Mapping[str, np.ndarray], attribute: Callable[[str], str]) -> Tensor:
    """[N, K, 3] from its parts. KeyError names one that is missing."""
    names = [attribute(f"{SH}/{k}") for k in range(16)]
    present = sum(name in arrays for name in names)
    count = spherical_harmonics.count(math.ceil(max(present, 1) ** 0.5) - 1)
    result = None
    for k in range(count):
        part = arrays[names[k]]  # one at a time: the mapping may read it only now
        if result is None:
            result = np.empty((len(part), count, 3), np.float32)
        result[:, k] = part
    return torch.from_numpy(result)
