"""What a regulariser may do around one iteration."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from recon.splats.state import TrainState


class Regularizer(Protocol):
    """A small piece that keeps few views from being explained by the wrong scene.

    To add one: write a config class and a class like `OpacityDecay` in a new file, and add a line for it to
    `SplatsConfig` and to `make_regularizers`. It draws random numbers from `state.generator` alone and keeps no
    state of its own. `progress` is the share of iterations done, in [0, 1).
    """

    def render_parameters(self, state: TrainState, params: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Parameters to render this iteration, differentiable in those given."""
        ...

    def after_step(self, state: TrainState, progress: float) -> None:
        """Change the state in place once parameters have been updated."""
        ...
