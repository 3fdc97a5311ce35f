from __future__ import annotations

import pytest
import torch
from splat_states import state_of

from recon.splats.adam import adam_update


def gradients(state: object, step: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(step)
    return {name: torch.randn(value.shape, generator=g) for name, value in state.params.items()}  # type: ignore[attr-defined]


def test_the_fused_steps_are_those_of_torch() -> None:
    state = state_of(50)
    for moments in (state.exp_avg, state.exp_avg_sq):
        for value in moments.values():
            value.zero_()
    state.rates = {**state.family.learning_rates(2.0, 0.3)}
    copies = {name: value.detach().clone() for name, value in state.params.items()}
    first, rest = copies["sh_coeffs"][:, :1].clone(), copies["sh_coeffs"][:, 1:].clone()
    groups = [{"params": [copies[n]], "lr": r} for n, r in state.rates.items() if not isinstance(r, tuple)]
    rates = state.rates["sh_coeffs"]
    assert isinstance(rates, tuple)
    groups += [{"params": [first], "lr": rates[0]}, {"params": [rest], "lr": rates[1]}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-15)
    for step in range(5):
        state.iteration = step
        for name, value in gradients(state, step).items():
            state.params[name].grad = value
            copies[name].grad = value
        first.grad, rest.grad = copies["sh_coeffs"].grad[:, :1], copies["sh_coeffs"].grad[:, 1:]
        adam.step()
        adam_update(state, None)
    for name, value in state.params.items():
        expected = torch.cat([first, rest], dim=1) if name == "sh_coeffs" else copies[name]
        # Five float32 steps, each rounded at 1e-7 of values of order 1.
        assert torch.allclose(value.detach(), expected, rtol=1e-5, atol=1e-6), name
        assert value.grad is None


def test_invisible_primitives_wait() -> None:
    state = state_of(20)
    before = {name: value.detach().clone() for name, value in state.params.items()}
    moments = {name: value.clone() for name, value in state.exp_avg.items()}
    for name, value in gradients(state, 0).items():
        state.params[name].grad = value
    visible = torch.arange(20) % 3 == 0
    adam_update(state, visible)
    for name, value in state.params.items():
        assert torch.equal(value.detach()[~visible], before[name][~visible])
        assert torch.equal(state.exp_avg[name][~visible], moments[name][~visible])
        assert bool((value.detach()[visible] != before[name][visible]).any())


@pytest.mark.parametrize("degree", [0, 1])
def test_colours_use_the_rate_of_band_zero(degree: int) -> None:
    state = state_of(4)
    sh = torch.zeros(4, (degree + 1) ** 2, 3)
    state.params = {"sh_coeffs": sh.clone().requires_grad_()}
    state.exp_avg, state.exp_avg_sq = {"sh_coeffs": sh.clone()}, {"sh_coeffs": sh.clone()}
    state.params["sh_coeffs"].grad = torch.ones_like(sh)
    adam_update(state, None)
    # The first step of Adam has the length of its rate.
    assert torch.allclose(state.params["sh_coeffs"].detach()[:, 0], torch.full((4, 3), -2.5e-3), rtol=1e-4)
    assert torch.allclose(state.params["sh_coeffs"].detach()[:, 1:], torch.tensor(-1.25e-4), rtol=1e-4)
