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
        if leaf.ndim > 1 and leaf.shape[1] == 1:
            rest = first
        adam_step(
            param, gradient.contiguous(), m, v,
            step=step, lr=rest, beta1=BETA1, beta2=BETA2, eps=EPS, visible=visible,
        )  # fmt: skip
        if first != rest:
            # The fused step has one rate. The moments are now those of this step, so the rest of the way that
            # column 0 has to go follows from them.
            denominator = (v[:, 0] / (1 - BETA2**step)).sqrt_().add_(EPS)
            update = m[:, 0].div(denominator).mul_((first - rest) / (1 - BETA1**step))
            if visible is not None:
                update *= visible[:, None]
            param[:, 0] -= update
