"""What a regulariser may do around one iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from recon.splats.photos import TrainingPhoto
from recon.splats.state import TrainState

if TYPE_CHECKING:
    from recon.render.rasterize import Render  # which loads the native core


@dataclass(frozen=True)
class Drawn:
    """What the iteration rendered."""

    photo: TrainingPhoto
    """The photo to train on."""
    background: Tensor
    """[3], behind the splats in this iteration."""
    render: Render
    """From the photo's camera, with depth where a regulariser wants it."""
    again: Callable[[Tensor], Render]
    """The same primitives from another `world_to_camera` [4, 4], colour and alpha."""


class Regularizer:
    """A small piece that keeps few views from being explained by the wrong scene. By default it does nothing.

    To add one: write a config class and a subclass like `OpacityDecay` in a new file, and add a line for it to
    `SplatsConfig` and to `make_regularizers`. It draws random numbers from `state.generator` alone and keeps no
    state of its own. `progress` is the share of iterations done, in [0, 1).
    """

    def render_parameters(self, state: TrainState, params: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Parameters to render this iteration, differentiable in those given."""
        return params

    def wants_depth(self, progress: float) -> bool:
        """Whether `loss` needs the depth of this iteration's render."""
        return False

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        """A scalar to add to the loss, None for nothing."""
        return None

    def after_step(self, state: TrainState, progress: float) -> None:
        """Change the state in place once parameters have been updated."""
        return
