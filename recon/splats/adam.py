"""One step of Adam on every parameter of a state."""

from __future__ import annotations

from torch import Tensor

from recon.render.adam import adam_step
from recon.splats.state import TrainState

BETA1, BETA2, EPS = 0.9, 0.999, 1e-15


def adam_update(state: TrainState, visible: Tensor | None) -> None:
    """Update all parameters in place with their gradients and `state.rates`, then drop the gradients.

    visible: [N] bool; rows that are False stay as they are, moments included. None updates all.
    A parameter without a gradient (nothing in view) is left alone.
    """
    step = state.iteration + 1
    for name, leaf in state.params.items():
        gradient = leaf.grad
        if gradient is None:
            continue
        leaf.grad = None
        param, m, v = leaf.detach(), state.exp_avg[name], state.exp_avg_sq[name]
        rate = state.rates[name]
        first, rest = rate if isinstance(rate, tuple) else (rate, rate)
        adam_step(
            param, gradient.contiguous(), m, v, step=step, lr=rest, first_lr=first if first != rest else None,
            beta1=BETA1, beta2=BETA2, eps=EPS, visible=visible,
        )  # fmt: skip
