"""Solid triangles: opaque and hard at the end, so that a mesh viewer shows what was optimised."""

from __future__ import annotations

import math

import torch

from recon.splats.regularizers.regularizer import Regularizer
from recon.splats.schedule import log_linear
from recon.splats.state import TrainState

_SOFTEST, _HARDEST = 2.0, 1e-3  # largest exp(log_sigma) at the start and at the end
_LOGITS = (-4.0, 8.0)  # smallest opacity logit at the start and at the end
_WANTED = 0.25  # opacity of triangles that the photos ask for
_DECISION = 0.4  # share of the phase after which what is fainter than a half goes


class SolidTriangles(Regularizer):
    """Late in training sigma and opacity are pushed to their ends. Held et al. 2025 (Triangle Splatting), sec. 3.4.

    Over the last part of the run the softest allowed sigma falls and the faintest allowed opacity rises. In between,
    the triangles that the photos do not ask for are removed, before they would have to become opaque. The others
    have the rest of the run to settle.
    """

    def __init__(self, start: float) -> None:
        self.start = start

    def after_step(self, state: TrainState, progress: float) -> None:
        if progress < self.start or (state.iteration + 1) % 10:
            return
        phase = (progress - self.start) / (1 - self.start)
        if phase >= _DECISION:
            keep = state.family.opacities(state.params) >= _WANTED
            if bool(keep.any()) and not bool(keep.all()):
                state.keep(keep)
        # Everything is at its end a little before the run is.
        phase = min(1.0, phase / 0.8)
        with torch.no_grad():
            state.params["log_sigmas"].clamp_(max=math.log(log_linear(_SOFTEST, _HARDEST, phase)))
            if phase >= _DECISION:
                rise = (phase - _DECISION) / (1 - _DECISION)
                state.params["opacity_logits"].clamp_(min=_LOGITS[0] + rise * (_LOGITS[1] - _LOGITS[0]))
