from __future__ import annotations

import pytest
import torch
from splat_states import FAMILY, state_of

from recon.splats.config import SplatsConfig
from recon.splats.regularizers import DropoutConfig, OpacityDecayConfig, make_regularizers


def test_all_are_off_unless_asked_for() -> None:
    off = SplatsConfig(dropout=DropoutConfig(rate=0.0), opacity_decay=OpacityDecayConfig(remaining=1.0))
    on = SplatsConfig(dropout=DropoutConfig(rate=0.2), opacity_decay=OpacityDecayConfig(remaining=0.01))
    assert make_regularizers(off) == []
    assert len(make_regularizers(on)) == 2


@pytest.mark.parametrize(("iterations", "every", "share"), [(2500, 1, 0.1), (2500, 10, 0.1), (200, 10, 0.1**0.1)])
def test_opacity_decay_leaves_the_share_it_promises(iterations: int, every: int, share: float) -> None:
    """A run shorter than 2000 iterations decays at the pace of one of 2000."""
    config = SplatsConfig(
        iterations=iterations,
        opacity_decay=OpacityDecayConfig(remaining=0.1, every=every),
        dropout=DropoutConfig(rate=0.0),
    )
    (decay,) = make_regularizers(config)
    state = state_of(30)
    before = FAMILY.opacities(state.params)
    for iteration in range(iterations):
        state.iteration = iteration
        decay.after_step(state, iteration / iterations)
    # Opacities below 1e-6 would be clamped; none of these is. A logit in float loses some 1e-7 at every step.
    assert torch.allclose(FAMILY.opacities(state.params), share * before, rtol=2e-3)


def test_dropout_keeps_the_expected_opacity() -> None:
    config = SplatsConfig(dropout=DropoutConfig(rate=0.4), opacity_decay=OpacityDecayConfig(remaining=1.0))
    (dropout,) = make_regularizers(config)
    state = state_of(20_000)
    state.params["opacity_logits"].data[:] = -1
    faded = FAMILY.opacities(dropout.render_parameters(state, state.params, 0.5))
    dropped = faded < 1e-5
    # Rate 0.4 x progress 0.5 = 0.2; standard deviation sqrt(0.16 / 20,000) = 0.003.
    assert float(dropped.float().mean()) == pytest.approx(0.2, abs=0.015)
    assert torch.allclose(faded[~dropped], FAMILY.opacities(state.params)[0] / 0.8)
