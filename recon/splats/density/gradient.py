"""Density control by screen-space gradients: clone, split, prune, reset opacities."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.splats.families.family import take
from recon.splats.state import TrainState

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@config
class GradientConfig:
    """Where the picture pulls hardest on a primitive, there is too little of it. Kerbl et al. 2023, sec. 5."""

    strategy: Literal["gradient"] = "gradient"
    start: Count = 500
    """No change before this iteration."""
    stop: Share = 0.5
    """No change from this share of the iterations on."""
    every: Annotated[int, Field(ge=1)] = 100
    """Iterations between two changes."""
    grow_gradient: Positive | None = None
    """Mean screen-space gradient above which a primitive is cloned or split, per half image width. By default what
    suits the family: 2e-4 for Gaussians and surfels, 8e-4 for exponentials, 1e-3 for convexes, 2e-3 for triangles;
    twice that after a dense start, which has primitives nearly everywhere."""
    absolute: bool = False
    """Sum the absolute gradients of pixels, which do not cancel in a primitive that is too large (AbsGS, Ye et al.
    2024). Raise `grow_gradient` to about 8e-4 with it."""
    split_size: Positive = 0.01
    """Larger primitives are split, smaller ones cloned; times the scene's extent."""
    prune_opacity: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Fainter primitives are removed."""
    prune_size: Positive = 0.1
    """Larger ones are removed too, after the first opacity reset; times the scene's extent."""
    reset_every: Count = 3000
    """Iterations between two opacity resets; 0 never resets."""
    reset_opacity: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Opacities are lowered to this: what is needed recovers, floaters do not."""
    cap: Annotated[int, Field(ge=1)] = 1_000_000
    """Number of primitives that growth stops at."""


class GradientStrategy:
    """Statistics: "gradient", the sum of screen-space gradients, and "seen", the number of its terms."""

    def __init__(self, config: GradientConfig, iterations: int, dense: bool = False) -> None:
        self.config = config
        self.stop = int(config.stop * iterations)
        self.patience = 2.0 if dense else 1.0

    def start(self, state: TrainState) -> None:
        state.stats = {name: torch.zeros(len(state), device=state.device) for name in ("gradient", "seen")}

    def probe_width(self, iteration: int) -> int:
        """Gradients count from the first iteration on, as in the reference, until growth stops."""
        return 0 if iteration >= self.stop else 5 if self.config.absolute else 2

    def after_backward(
        self, state: TrainState, iteration: int, visible: Tensor, probe: Tensor | None, size: tuple[int, int]
    ) -> None:
        if probe is None:
            return
        first = 2 if self.config.absolute else 0
        # A shift by half the image is 1 in normalised device coordinates, so this does not depend on resolution.
        gradient = torch.hypot(probe[:, first] * (size[0] / 2), probe[:, first + 1] * (size[1] / 2))
        state.stats["gradient"] += gradient  # zero where invisible
        state.stats["seen"] += visible

    def after_step(self, state: TrainState, iteration: int) -> None:
        c = self.config
        step = iteration + 1
        if step < self.stop:
            if step > c.start and step % c.every == 0:
                self._grow(state)
                self._prune(state, too_large=c.reset_every > 0 and step > c.reset_every)
                self.start(state)
            if c.reset_every and step % c.reset_every == 0:
                self._reset(state)

    def _grow(self, state: TrainState) -> None:
        c = self.config
        room = c.cap - len(state)
        mean = state.stats["gradient"] / state.stats["seen"].clamp_min(1)
        grow = mean > (c.grow_gradient or self.patience * state.family.grow_gradient)
        if room <= 0 or not bool(grow.any()):
            return
        if int(grow.sum()) > room:  # the steepest first
            grow = torch.zeros_like(grow)
            grow[mean.topk(room).indices] = True
        large = state.family.sizes(state.params) > c.split_size * state.extent
        clones = take(state.params, grow & ~large)
        halves = state.family.split(take(state.params, grow & large), state.generator)
        state.keep(~(grow & large))
        state.append(clones)
        state.append(halves)

    def _prune(self, state: TrainState, too_large: bool) -> None:
        keep = state.family.opacities(state.params) >= self.config.prune_opacity
        if too_large:
            keep &= state.family.sizes(state.params) <= self.config.prune_size * state.extent
        # An empty scene has no gradients to grow from: the last primitives stay whatever they look like.
        if bool(keep.any()) and not bool(keep.all()):
            state.keep(keep)

    def _reset(self, state: TrainState) -> None:
        opacities = state.family.opacities(state.params)
        state.family.set_opacities(state.params, slice(None), opacities.clamp(max=self.config.reset_opacity))
        state.forget_moments(state.family.opacity_parameter)
