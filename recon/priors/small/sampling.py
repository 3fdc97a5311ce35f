"""From what the network sees to a clean picture: in one look, or from noise in a few steps."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.priors.small.network import Restored, Restorer

SCALE = 0.15
"""Standard deviation of corrections, about; they are divided by it before noise is added."""
SIGMA_MAX = 20.0
"""Noise that a diffusion model starts from; next to nothing is left of a correction of standard deviation 1."""


@torch.no_grad()
def restore(network: Restorer, layers: Tensor, steps: int = 1, seed: int = 0) -> Restored:
    """What `network` makes of `layers` [B, 13, H, W] of any size. Deterministic for a seed.

    steps: of a diffusion model (deterministic DDIM steps from noise, evenly spaced in the logarithm of the noise).
    """
    height, width = layers.shape[2:]
    grown = [-side % network.multiple for side in (width, height)]
    padded = torch.nn.functional.pad(layers, (0, grown[0], 0, grown[1]), mode="replicate")

    def cut(values: Tensor) -> Tensor:
        return values[..., :height, :width].float()

    if not network.config.diffusion:
        found = network(padded)
    else:
        generator = torch.Generator().manual_seed(seed)
        render = padded[:, :3]
        noise = torch.randn(render.shape, generator=generator).to(render)
        sigmas = torch.exp(torch.linspace(3.0, -2.3, steps + 1))[:-1].to(render)
        noisy = SIGMA_MAX * noise
        for k, sigma in enumerate(sigmas):
            found = network(padded, noisy, sigma.expand(len(render)))
            clean = (found.image - render) / SCALE
            if k + 1 < steps:
                noisy = clean + sigmas[k + 1] / sigma * (noisy - clean)
    return Restored(cut(found.image.clamp(0, 1)), cut(found.log_error), cut(found.gate))
