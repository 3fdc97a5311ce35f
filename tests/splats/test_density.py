from __future__ import annotations

import pytest
import torch
from splat_states import FAMILY, state_of

from recon.splats.density import GradientConfig, McmcConfig, make_strategy
from recon.splats.density.mcmc import _multinomial
from recon.splats.state import TrainState


def assert_rows_agree(state: TrainState) -> None:
    count = len(state)
    for group in (state.params, state.exp_avg, state.exp_avg_sq, state.stats):
        assert {len(value) for value in group.values()} <= {count}
    assert all(value.is_leaf and value.requires_grad for value in state.params.values())


def grow_once(config: GradientConfig, state: TrainState, gradient: torch.Tensor, dense: bool = False) -> None:
    """One round of counting and one change, at an iteration where changes are due."""
    strategy = make_strategy(config, 10_000, dense)
    strategy.start(state)
    probe = torch.zeros(len(state), 4)
    probe[:, 0] = gradient
    for iteration in (598, 599):
        assert strategy.probe_width(iteration) == 2
        strategy.after_backward(state, iteration, gradient > 0, probe, (200, 100))
    strategy.after_step(state, 599)
    assert_rows_agree(state)


def test_growth_waits_for_more_after_a_dense_start() -> None:
    for dense, grown in ((False, 2), (True, 1)):
        state = state_of(3)
        state.params["log_scales"].data[:] = -4
        state.params["opacity_logits"].data[:] = 0
        grow_once(GradientConfig(prune_size=1e6), state, torch.tensor([3e-6, 6e-6, 1e-6]), dense)
        assert len(state) == 3 + grown


def test_small_primitives_are_cloned_and_large_ones_split() -> None:
    state = state_of(4)
    state.params["log_scales"].data[:] = torch.tensor([-4.0, -4.0, 1.0, 1.0])[:, None]
    state.params["opacity_logits"].data[:] = 0
    before = {name: value.detach().clone() for name, value in state.params.items()}
    # 3e-6 per px is 3e-4 per half image of 100 px, above the threshold; 1e-6 is below it.
    grow_once(GradientConfig(prune_size=1e6), state, torch.tensor([3e-6, 1e-6, 3e-6, 1e-6]))
    assert len(state) == 4 - 1 + 1 + 2
    means = state.params["means"].detach()
    assert torch.equal(means[:3], before["means"][[0, 1, 3]])  # kept
    assert torch.equal(means[3], before["means"][0])  # clone, in the same place
    halves = state.params["log_scales"].detach()[4:]
    assert torch.allclose(halves.exp(), before["log_scales"][[2, 2]].exp() / 1.6)
    # Old primitives keep their moments, new ones start afresh, counts start again.
    assert state.exp_avg["means"][:3].eq(1).all() and state.exp_avg["means"][3:].eq(0).all()
    assert state.stats["gradient"].eq(0).all() and state.stats["seen"].eq(0).all()


def test_the_mean_is_over_the_photos_that_see_a_primitive() -> None:
    strategy, state = make_strategy(GradientConfig(), 10_000), state_of(2)
    strategy.start(state)
    probe = torch.tensor([[3e-6, 4e-6, 0, 0], [0, 0, 0, 0]])
    strategy.after_backward(state, 0, torch.tensor([True, False]), probe, (200, 200))
    strategy.after_backward(state, 1, torch.tensor([False, False]), torch.zeros(2, 4), (200, 200))
    assert state.stats["gradient"][0] == pytest.approx(5e-4)
    assert state.stats["seen"].tolist() == [1, 0]


def test_absolute_gradients_are_read_from_their_columns() -> None:
    strategy, state = make_strategy(GradientConfig(absolute=True), 10_000), state_of(1)
    strategy.start(state)
    strategy.after_backward(state, 0, torch.tensor([True]), torch.tensor([[0, 0, 3e-6, 4e-6]]), (200, 200))
    assert state.stats["gradient"][0] == pytest.approx(5e-4)


def test_growth_stops_at_the_cap_with_the_steepest_first() -> None:
    state = state_of(4)
    state.params["log_scales"].data[:] = -4
    state.params["opacity_logits"].data[:] = 0
    before = state.params["means"].detach().clone()
    grow_once(GradientConfig(cap=5), state, torch.tensor([3e-6, 9e-6, 5e-6, 4e-6]))
    assert len(state) == 5
    assert torch.equal(state.params["means"].detach()[4], before[1])


def test_faint_primitives_are_removed_but_never_all() -> None:
    state = state_of(3)
    state.params["opacity_logits"].data[:] = torch.tensor([-10.0, 0.0, -10.0])
    grow_once(GradientConfig(), state, torch.zeros(3))
    assert len(state) == 1
    state.params["opacity_logits"].data[:] = -10
    grow_once(GradientConfig(), state, torch.zeros(1))
    assert len(state) == 1


def test_opacity_reset_lowers_all_and_forgets_their_moments() -> None:
    strategy, state = make_strategy(GradientConfig(reset_every=100), 10_000), state_of(50)
    strategy.start(state)
    strategy.after_step(state, 99)
    assert float(FAMILY.opacities(state.params).max()) <= 0.01 + 1e-6
    assert state.exp_avg["opacity_logits"].eq(0).all()
    assert state.exp_avg["means"].eq(1).all()


def test_no_change_before_the_start_or_after_the_end() -> None:
    strategy, state = make_strategy(GradientConfig(start=500, stop=0.5), 2000), state_of(5)
    strategy.start(state)
    state.stats["gradient"] += 1
    state.stats["seen"] += 1
    state.params["opacity_logits"].data[0] = -10
    for iteration in (99, 499, 550, 999, 1099, 1999):
        strategy.after_step(state, iteration)
    assert len(state) == 5
    assert strategy.probe_width(1000) == 0


def test_mcmc_moves_the_dead_onto_the_living() -> None:
    state = state_of(200)
    state.params["opacity_logits"].data[:40] = -8
    living = state.params["means"].detach()[40:].clone()
    strategy = make_strategy(McmcConfig(noise=0.0, growth=1.0), 10_000)
    strategy.start(state)
    strategy.after_step(state, 599)
    assert_rows_agree(state)
    assert len(state) == 200
    moved = state.params["means"].detach()[:40]
    assert bool((moved[:, None] == living).all(-1).any(1).all())
    assert float(FAMILY.opacities(state.params).min()) >= 0.005 - 1e-6
    assert state.exp_avg["means"][:40].eq(0).all()


def test_mcmc_grows_to_its_cap() -> None:
    state = state_of(200)
    strategy = make_strategy(McmcConfig(noise=0.0, growth=1.5, cap=420), 10_000)
    strategy.start(state)
    counts = []
    for iteration in (599, 699, 799):
        strategy.after_step(state, iteration)
        counts.append(len(state))
        assert_rows_agree(state)
    assert counts == [300, 420, 420]


def test_mcmc_noise_shakes_only_the_faint() -> None:
    state = state_of(100)
    state.params["opacity_logits"].data[:50] = -6
    state.params["opacity_logits"].data[50:] = 3
    before = state.params["means"].detach().clone()
    strategy = make_strategy(McmcConfig(), 10_000)
    strategy.start(state)
    strategy.after_step(state, 0)
    moved = (state.params["means"].detach() - before).norm(dim=-1)
    assert bool((moved[:50] > 0).all())
    assert bool((moved[50:] == 0).all())


@pytest.mark.parametrize("config", [GradientConfig(grow_gradient=1e-9), McmcConfig(growth=1.3)])
def test_the_same_generator_gives_the_same_changes(config: GradientConfig | McmcConfig) -> None:
    states = [state_of(60, seed=5), state_of(60, seed=5)]
    for state in states:
        strategy = make_strategy(config, 10_000)
        strategy.start(state)
        for name in state.stats:
            state.stats[name] += 1
        strategy.after_step(state, 599)
    assert len(states[0]) > 60
    for name, value in states[0].params.items():
        assert torch.equal(value, states[1].params[name])


def test_multinomial_follows_its_weights() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0])
    drawn = _multinomial(weights, 40_000, torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=4)
    assert counts[0] == 0 and counts[3] == 0
    # Standard deviation of the share: sqrt(0.75 * 0.25 / 40,000) = 0.002.
    assert counts[2] / 40_000 == pytest.approx(0.75, abs=0.01)
