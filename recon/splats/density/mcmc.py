"""Density control as sampling: relocate the dead, add up to a cap, shake the faint."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.splats.families.family import take
from recon.splats.state import TrainState


@config
class McmcConfig:
    """Primitives as samples of a distribution, with a fixed budget. Kheradmand et al. 2024."""

    strategy: Literal["mcmc"] = "mcmc"
    cap: Annotated[int, Field(ge=1)] = 100_000
    """Number of primitives to grow to."""
    start: Annotated[int, Field(ge=0)] = 500
    """No relocation or growth before this iteration."""
    stop: Annotated[float, Field(ge=0, le=1)] = 0.83
    """No relocation or growth from this share of the iterations on."""
    every: Annotated[int, Field(ge=1)] = 100
    """Iterations between two changes."""
    growth: Annotated[float, Field(ge=1)] = 1.05
    """Factor on the number of primitives at every change."""
    dead_opacity: Annotated[float, Field(gt=0, lt=1)] = 0.005
    """Primitives that are at most this opaque are moved to where live ones are."""
    noise: Annotated[float, Field(ge=0)] = 5e5
    """Size of the random walk of faint primitives, times the means' step size."""
    opacity_penalty: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the mean opacity in the loss."""
    scale_penalty: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the mean standard deviation along the axes in the loss, per scene unit."""


class McmcStrategy:
    """Keeps no statistics."""

    def __init__(self, config: McmcConfig, iterations: int, dense: bool = False) -> None:
        self.config = config
        self.stop = int(config.stop * iterations)

    def start(self, state: TrainState) -> None:
        state.stats = {}

    def probe_width(self, iteration: int) -> int:
        return 0

    def after_backward(
        self, state: TrainState, iteration: int, visible: Tensor, probe: Tensor | None, size: tuple[int, int]
    ) -> None:
        """Add the penalties' gradients, which are known in closed form."""
        state.family.add_penalties(state.params, self.config.opacity_penalty, self.config.scale_penalty)

    def after_step(self, state: TrainState, iteration: int) -> None:
        c = self.config
        step = iteration + 1
        if c.start < step < self.stop and step % c.every == 0:
            self._relocate(state)
            self._grow(state)
        if c.noise:
            self._shake(state, iteration)

    def _relocate(self, state: TrainState) -> None:
        opacities = state.family.opacities(state.params)
        dead = opacities <= self.config.dead_opacity
        if not bool(dead.any()) or bool(dead.all()):
            return
        alive = torch.nonzero(~dead).squeeze(1)
        self._copy(state, alive, opacities[alive], torch.nonzero(dead).squeeze(1))

    def _grow(self, state: TrainState) -> None:
        target = min(self.config.cap, int(self.config.growth * len(state)))
        if target > len(state):
            everyone = torch.arange(len(state), device=state.device)
            fresh = torch.arange(len(state), target, device=state.device)
            self._copy(state, everyone, state.family.opacities(state.params), fresh)

    def _copy(self, state: TrainState, candidates: Tensor, weights: Tensor, places: Tensor) -> None:
        """Fill `places` (existing rows, or the next new ones) with copies of rows drawn in proportion to `weights`."""
        drawn = candidates[_multinomial(weights, len(places), state.generator)]
        sources, which, copies = drawn.unique(return_inverse=True, return_counts=True)
        shared = state.family.shared(take(state.params, sources), copies + 1)
        state.write(sources, shared)
        rows = {name: value[which] for name, value in shared.items()}
        if int(places[0]) >= len(state):
            state.append(rows)
        else:
            state.write(places, rows)

    def _shake(self, state: TrainState, iteration: int) -> None:
        """Noise that is felt below an opacity of 0.005 and gone by 0.15 (there it is 5e-7 of its full size)."""
        rate = state.rates[state.family.position_parameter]
        assert isinstance(rate, float)
        opacities = state.family.opacities(state.params)
        rows = torch.nonzero(opacities < 0.15).squeeze(1)
        amounts = torch.sigmoid(-100 * (opacities[rows] - 0.005)) * (self.config.noise * rate)
        state.family.jitter(state.params, rows, amounts, state.generator)


def _multinomial(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws with replacement in proportion to `weights`; torch.multinomial is limited to 2^24 categories."""
    cumulative = weights.double().cumsum(0)
    points = torch.rand(count, generator=generator, dtype=torch.float64).to(weights.device) * cumulative[-1]
    return torch.searchsorted(cumulative, points, right=True).clamp(max=len(weights) - 1)
