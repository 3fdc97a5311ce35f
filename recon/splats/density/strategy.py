"""What a density strategy is: the rules by which primitives are added, moved and removed."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from recon.splats.state import TrainState


class DensityStrategy(Protocol):
    """Called by the loop around every step.

    To add one: write a config class with a `strategy` literal and a class like `GradientStrategy` in a new
    file, and add a line for it to `STRATEGIES` and to the union in `SplatsConfig.density`. A strategy keeps what it
    counts per primitive in `state.stats`, which follows rows as they are added and removed and is part of a
    checkpoint; it draws random numbers from `state.generator` alone. It holds no other state.
    """

    def start(self, state: TrainState) -> None:
        """Put this strategy's statistics into `state.stats`, one row per primitive."""
        ...

    def probe_width(self, iteration: int) -> int:
        """Columns of the screen probe that `after_backward` of this iteration (from 0) wants: 0, 2 or 5."""
        ...

    def after_backward(
        self, state: TrainState, iteration: int, visible: Tensor, probe: Tensor | None, size: tuple[int, int]
    ) -> None:
        """Count, or change gradients.

        visible: [N] bool.   size: width and height of the image, px.
        probe: [N, 2] or [N, 5] as asked for, see `screen_probe` of `rasterize`, or None.
        """
        ...

    def after_step(self, state: TrainState, iteration: int) -> None:
        """Add, move and remove primitives once parameters have been updated."""
        ...
