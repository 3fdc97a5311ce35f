from __future__ import annotations

import math

import pytest
import torch
from splat_states import FAMILY, gaussians
from torch import Tensor

from recon.geometry import quaternion, spherical_harmonics
from recon.splats.families import Seeds


def test_initial_parameters_show_the_seeds() -> None:
    seeds = Seeds(torch.rand(7, 3), torch.rand(7, 3), torch.rand(7) + 0.1, torch.eye(3)[[0] * 7], torch.ones(7))
    params = FAMILY.initial_parameters(seeds, opacity=0.1, sh_degree=2)
    assert torch.equal(params["means"], seeds.positions)
    assert torch.allclose(FAMILY.opacities(params), torch.full((7,), 0.1))
    assert torch.allclose(FAMILY.sizes(params), seeds.radii)
    directions = torch.nn.functional.normalize(torch.randn(7, 3), dim=-1)
    shown = spherical_harmonics.evaluate(params["sh_coeffs"], directions) + 0.5
    assert torch.allclose(shown, seeds.colors, atol=1e-6)


def test_every_parameter_has_a_rate() -> None:
    params = gaussians(1)
    rates = FAMILY.learning_rates(extent=2.0, progress=0.0)
    assert rates.keys() == params.keys()
    assert rates["means"] == pytest.approx(2 * 1.6e-4)
    assert rates["sh_coeffs"] == pytest.approx((2.5e-3, 1.25e-4))
    assert FAMILY.learning_rates(2.0, 1.0)["means"] == pytest.approx(2 * 1.6e-6)


def test_split_samples_from_the_parent() -> None:
    parent = gaussians(1)
    many = {name: value.expand(20_000, *value.shape[1:]).clone() for name, value in parent.items()}
    children = FAMILY.split(many, torch.Generator().manual_seed(0))
    assert len(children["means"]) == 40_000
    scales = parent["log_scales"].exp()
    R = quaternion.to_matrix(parent["quats"])[0]
    covariance = R @ torch.diag(scales[0] ** 2) @ R.T
    # 40,000 samples estimate a covariance to about sqrt(2 / 40,000) = 0.7 % of its largest entry.
    assert torch.allclose(children["means"].T.cov(), covariance, atol=0.03 * float(covariance.diagonal().max()))
    assert torch.allclose(children["log_scales"].exp(), scales / 1.6)
    assert torch.equal(children["opacity_logits"][:20_000], many["opacity_logits"])


def integral_along_the_axis(opacity: Tensor, scale: Tensor, copies: int) -> Tensor:
    """Integral over a line of 1 - (1 - o exp(-x^2 / 2 s^2))^copies, the opacity of stacked Gaussians."""
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    alpha = opacity[:, None].double() * torch.exp(-0.5 * (x / scale[:, None].double()) ** 2)
    return torch.trapezoid(1 - (1 - alpha) ** copies, x)


@pytest.mark.parametrize("copies", [1, 2, 3, 8])
def test_shared_copies_look_like_one(copies: int) -> None:
    rows = gaussians(20)
    rows["opacity_logits"] = torch.linspace(-1.5, 1.5, 20)
    shared = FAMILY.shared(rows, torch.full((20,), copies))
    before, after = FAMILY.opacities(rows), FAMILY.opacities(shared)
    # At the centre the stack is exactly as opaque as the one was ...
    assert torch.allclose(1 - (1 - after) ** copies, before, atol=1e-5)
    # ... and the integral across it is that of the one (eq. 9 of the paper).
    one = integral_along_the_axis(before, rows["log_scales"][:, 0].exp(), 1)
    stack = integral_along_the_axis(after, shared["log_scales"][:, 0].exp(), copies)
    assert torch.allclose(stack, one, rtol=1e-4)


def test_many_copies_stay_finite() -> None:
    rows = gaussians(5)
    rows["opacity_logits"] = torch.tensor([-8.0, -3.0, 0.0, 5.0, 20.0])
    shared = FAMILY.shared(rows, torch.tensor([51, 400, 51, 51, 51]))
    assert all(bool(value.isfinite().all()) for value in shared.values())


def test_fading_multiplies_opacities_and_passes_gradients() -> None:
    params = gaussians(6)
    params["opacity_logits"].requires_grad_()
    factors = torch.tensor([0.0, 0.5, 1.0, 1.25, 0.0, 1.0])
    faded = FAMILY.faded(params, factors)
    expected = (FAMILY.opacities(params) * factors).clamp(1e-6, 1 - 1e-6)
    assert torch.allclose(FAMILY.opacities(faded), expected, atol=1e-6)
    FAMILY.faded(params, factors)["opacity_logits"].sigmoid().sum().backward()
    o = FAMILY.opacities(params)
    assert torch.allclose(params["opacity_logits"].grad, factors * o * (1 - o), atol=1e-5)


def test_jitter_follows_the_covariance() -> None:
    params = {name: value.repeat(20_000, *[1] * (value.ndim - 1)) for name, value in gaussians(1).items()}
    before = params["means"].clone()
    rows = torch.arange(0, 20_000, 2)
    FAMILY.jitter(params, rows, torch.full((10_000,), 0.7), torch.Generator().manual_seed(0))
    assert torch.equal(params["means"][1::2], before[1::2])
    moved = (params["means"] - before)[::2]
    R = quaternion.to_matrix(params["quats"][0])
    covariance = R @ torch.diag((2 * params["log_scales"][0]).exp()) @ R.T
    expected = 0.49 * covariance @ covariance
    assert torch.allclose(moved.T.cov(), expected, atol=0.06 * float(expected.diagonal().max()))


def test_penalty_gradients_match_autograd() -> None:
    params = {name: value.double().requires_grad_() for name, value in gaussians(9).items()}
    loss = 0.3 * params["opacity_logits"].sigmoid().mean() + 0.7 * params["log_scales"].exp().mean()
    loss.backward()
    wanted = {name: value.grad for name, value in params.items() if value.grad is not None}
    for name in ("opacity_logits", "log_scales"):
        params[name].grad = torch.zeros_like(params[name])
    FAMILY.add_penalties(params, opacity=0.3, size=0.7)
    for name, value in wanted.items():
        assert torch.allclose(params[name].grad, value, rtol=1e-12)


def test_opacity_logits_stay_finite_at_the_ends() -> None:
    params = gaussians(3)
    FAMILY.set_opacities(params, slice(None), torch.tensor([0.0, 1.0, 0.25]))
    assert bool(params["opacity_logits"].isfinite().all())
    assert params["opacity_logits"][2] == pytest.approx(math.log(1 / 3), rel=1e-5)
