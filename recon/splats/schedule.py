"""Quantities that change over an optimisation: step sizes, harmonic degree, resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from recon.config import config

Rate = float | tuple[float, float]


def log_linear(first: float, last: float, progress: float) -> float:
    """From `first` at progress 0 to `last` at 1 by a constant factor per step; 0 stays 0."""
    if first <= 0 or last <= 0:
        return first
    return math.exp((1 - progress) * math.log(first) + progress * math.log(last))


def sh_degree_at(iteration: int, interval: int, degree: int) -> int:
    """Degree that iteration `iteration` (from 0) shows: one more band every `interval` iterations."""
    return min(iteration // interval, degree) if interval > 0 else degree


def frozen_bands(rates: Mapping[str, Rate]) -> dict[str, Rate]:
    """Step sizes at which the harmonics' bands above 0 stay as they are."""
    first = rates["sh_coeffs"]
    return {**rates, "sh_coeffs": (first[0] if isinstance(first, tuple) else first, 0.0)}


@config
class ResolutionConfig:
    """Coarse to fine: small photos first, which is quicker and lets far-off primitives find their place."""

    start_divisor: Annotated[int, Field(ge=1, le=16)] = 4
    """Width and height are divided by this at first; a power of two. 1 trains at full size throughout."""
    full_from: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of the iterations after which photos have their full size. The divisor halves at equal steps until then."""
    min_side: Annotated[int, Field(ge=1)] = 48
    """Photos are never made smaller than this, px: the window of SSIM has 11."""

    def __post_init__(self) -> None:
        if self.start_divisor & (self.start_divisor - 1):
            raise ValueError(f"start_divisor is {self.start_divisor}; wanted a power of two")

    def divisors(self) -> tuple[int, ...]:
        """All divisors in the order they are used, such as (4, 2, 1)."""
        return tuple(self.start_divisor >> k for k in range(self.start_divisor.bit_length()))

    def level_at(self, iteration: int, iterations: int) -> int:
        """Index into `divisors()` for iteration `iteration` (from 0) of `iterations`."""
        last = len(self.divisors()) - 1
        until_full = self.full_from * iterations
        return last if iteration >= until_full else min(last, int(iteration / until_full * last))
