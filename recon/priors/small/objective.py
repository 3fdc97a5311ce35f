"""What the small network is trained for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon.priors.small.network import Restored, Restorer
from recon.priors.small.sampling import SCALE, SIGMA_MAX

RIGHT = 0.03
"""Pixels around which a render is off by less than this, in [0, 1], were right already."""


def objective(restored: Restored, render: Tensor, truth: Tensor, harm: float) -> Tensor:
    """Error of the picture, harm done to the render, and how well the error and the gate foresee both.

    Absolute and squared errors weigh alike at 0.2; the error is foreseen by the likelihood of a Laplace distribution;
    the gate pays for the squared error it leaves, and 20 times for what it adds to pixels that were right. A picture
    that is hardly damaged counts more, because decibels are relative.
    """
    difference = restored.image - truth
    error, damage = difference.abs().mean(1, keepdim=True), (render - truth).abs().mean(1, keepdim=True)
    picture = 0.5 * error + 2.5 * difference.square().mean(1, keepdim=True) + harm * (error - damage).relu()
    foreseen = (error.detach() + 1e-3) * torch.exp(-restored.log_error) + restored.log_error
    shown = torch.lerp(render, restored.image.detach().clamp(0, 1), restored.gate)
    left, before = ((image - truth).square().mean(1, keepdim=True) for image in (shown, render))
    gate = 2.5 * left + 50 * right_pixels(damage) * (left - before).relu()
    weight = 0.15 / (damage.mean((1, 2, 3), keepdim=True) + 0.05)
    return (weight * (picture + gate + 0.01 * foreseen)).mean()


def right_pixels(damage: Tensor) -> Tensor:
    """[B, 1, H, W] bool: around which (7 x 7) a render is off by less than 0.03, of its `damage` per pixel."""
    return torch.nn.functional.avg_pool2d(damage, 7, 1, 3, count_include_pad=False) < RIGHT


def guess(network: Restorer, layers: Tensor, truth: Tensor, generator: torch.Generator) -> Restored:
    """What the network makes of a batch; of a diffusion model, from a random amount of noise."""
    layers = layers.contiguous(memory_format=torch.channels_last)
    if not network.config.diffusion:
        return network(layers)  # type: ignore[no-any-return]
    # Half of the time all noise, as in a single step; else log-uniform (x0 prediction).
    sigma = torch.exp(torch.rand(len(layers), generator=generator) * math.log(SIGMA_MAX / 0.1) + math.log(0.1))
    sigma = torch.where(torch.rand(len(layers), generator=generator) < 0.5, torch.full_like(sigma, SIGMA_MAX), sigma)
    noise, sigma = torch.randn(truth.shape, generator=generator).to(truth), sigma.to(truth)
    noisy = (truth - layers[:, :3]) / SCALE + sigma[:, None, None, None] * noise
    return network(layers, noisy, sigma)  # type: ignore[no-any-return]
