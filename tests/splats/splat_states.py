"""Small sets of Gaussians and training states for the tests of this folder."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.splats.families.gaussian import GaussianConfig, GaussianFamily
from recon.splats.state import TrainState

FAMILY = GaussianFamily(GaussianConfig())


def gaussians(count: int, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "means": torch.randn(count, 3, generator=g),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": torch.randn(count, 3, generator=g) * 0.5 - 2,
        "opacity_logits": torch.randn(count, generator=g),
        "sh_coeffs": torch.randn(count, 4, 3, generator=g),
    }


def state_of(count: int, extent: float = 10.0, seed: int = 0) -> TrainState:
    state = TrainState.create(FAMILY, gaussians(count, seed), extent, seed)
    for moments in (state.exp_avg, state.exp_avg_sq):
        for value in moments.values():
            value += 1
    state.rates = FAMILY.learning_rates(extent, 0.0)
    return state
