"""The network of the small prior: a U-Net that picks among the render and warped photos, and adds what they lack."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from recon.config import config
from recon.priors.small.inputs import FIRST, LAYERS, SECOND

_SHUFFLE = 2
_HEADS = 3 + 3 + 2  # shares of render, first and second photo; what is added; error and gate


@config
class NetworkConfig:
    """Size of the network, and what it is."""

    widths: tuple[int, ...] = (48, 80, 128, 192)
    """Channels at a half, a quarter, ... of the resolution."""
    blocks: int = 2
    """Residual blocks at each resolution, on the way down and on the way up."""
    diffusion: bool = False
    """Conditional diffusion: it also sees the correction with noise on it, and how much. Else plain regression."""


@dataclass(frozen=True)
class Restored:
    """What the network says."""

    image: Tensor
    """[B, 3, H, W], the clean picture, not clamped."""
    log_error: Tensor
    """[B, 1, H, W], natural logarithm of the error it expects: the mean over channels of |image - truth|."""
    gate: Tensor
    """[B, 1, H, W] in [0, 1], how much of the picture to take; the rest is the render."""

    def gated(self, render: Tensor) -> Tensor:
        """[B, 3, H, W]: the picture as far as `gate` lets it through, over `render` [B, 3, H, W]."""
        return torch.lerp(render, self.image, self.gate)

    def confidence(self) -> Tensor:
        """[B, 1, H, W] in [0, 1]: 1/e where the error is expected to be 0.1."""
        return torch.exp(-10 * self.log_error.exp())


class Restorer(nn.Module):
    """Layers of `recon.priors.small.inputs`, and noise where it is a diffusion model, to a clean picture."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, extra = config.widths, 3 if config.diffusion else 0
        if config.diffusion:
            self.noise = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.enter = nn.Conv2d((LAYERS + extra) * _SHUFFLE**2, widths[0], 3, padding=1)

        def level(width: int) -> nn.ModuleList:
            return nn.ModuleList(_Block(width, config.diffusion) for _ in range(config.blocks))

        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(level(width) for width in widths)
        self.up = nn.ModuleList(level(width) for width in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairs)
        self.leave = nn.Conv2d(widths[0], _HEADS * _SHUFFLE**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        # At first: the render almost alone, nothing added, an error of about 0.05, half let through.
        start = torch.tensor([3.0, 0, 0, 0, 0, 0, -3, 0])
        self.leave.bias.data = start.repeat_interleave(_SHUFFLE**2)

    @property
    def multiple(self) -> int:
        """Sides of its pictures are multiples of this, px."""
        return _SHUFFLE * 2 ** (len(self.config.widths) - 1)

    def forward(self, layers: Tensor, noisy: Tensor | None = None, sigma: Tensor | None = None) -> Restored:
        """layers: [B, 13, H, W] in [0, 1], sides multiples of `multiple`.

        noisy: [B, 3, H, W], the scaled correction with noise of standard deviation sigma [B], of diffusion models.
        """
        seen = layers * 2 - 1
        condition = None
        if self.config.diffusion:
            assert noisy is not None and sigma is not None
            seen = torch.cat([seen, noisy / (1 + sigma[:, None, None, None] ** 2).sqrt()], 1)
            steps = 2.0 ** torch.arange(-2, 2, device=sigma.device) * sigma.log()[:, None]
            condition = self.noise(torch.cat([steps.sin(), steps.cos()], 1).to(layers.dtype))
        x = self.enter(nn.functional.pixel_unshuffle(seen, _SHUFFLE))
        kept = []
        for k, blocks in enumerate(self.down):
            x = _through(blocks, x, condition)  # type: ignore[arg-type]
            if k < len(self.shrink):
                kept.append(x)
                x = self.shrink[k](x)
        for k in reversed(range(len(self.grow))):
            x = kept[k] + nn.functional.pixel_shuffle(self.grow[k](x), 2)
            x = _through(self.up[k], x, condition)  # type: ignore[arg-type]
        heads = nn.functional.pixel_shuffle(self.leave(x), _SHUFFLE).float()
        shares, added = heads[:, :3].softmax(1), heads[:, 3:6]
        sources = (layers[:, :3], layers[:, FIRST][:, :3], layers[:, SECOND][:, :3])
        picked = sum((shares[:, k : k + 1] * source for k, source in enumerate(sources)), torch.zeros(()))
        return Restored(picked + added, heads[:, 6:7].clamp(-8, 1), heads[:, 7:].sigmoid())


class _Block(nn.Module):
    """x + conv(silu(conv(silu(x)))), which starts as x; the amount of noise scales and shifts what is between."""

    def __init__(self, width: int, conditioned: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)
        self.modulate = nn.Linear(64, 2 * width) if conditioned else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y = self.first(nn.functional.silu(x))
        if self.modulate is not None:
            scale, shift = self.modulate(condition)[..., None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        result: Tensor = x + self.second(nn.functional.silu(y))
        return result


def _through(blocks: Any, x: Tensor, condition: Tensor | None) -> Tensor:
    for block in blocks:
        x = block(x, condition)
    return x
