"""What an optimisation says about itself while it runs: curves, progress, time."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from recon.events import Listener, Progress
from recon.splats.checkpoint import Journal
from recon.splats.config import SplatsConfig
from recon.splats.state import TrainState

STAGE = "splats"


class Meter:
    """Turns losses into progress events and curves."""

    def __init__(self, journal: Journal, config: SplatsConfig, events: Listener, iteration: int) -> None:
        self.journal, self.config, self.events = journal, config, events
        self.started = self.window_started = time.perf_counter()
        self.window_iteration = iteration
        self.speed: float | None = None
        self.loss_sum, self.loss_count = torch.zeros(()), 0

    def due(self, iteration: int) -> bool:
        """Whether iteration `iteration` (from 1) ends a reporting window."""
        return iteration % self.config.report_every == 0 or iteration == self.config.iterations

    def record(self, state: TrainState, loss: Tensor, error: float | None) -> None:
        """Take note of an iteration. A GPU is only waited for at the end of a window."""
        self.loss_sum, self.loss_count = self.loss_sum.to(loss.device) + loss, self.loss_count + 1
        if error is None:
            return
        mean_loss = float(self.loss_sum) / self.loss_count
        if not math.isfinite(mean_loss):
            raise FloatingPointError(f"up to iteration {state.iteration}: the loss is {mean_loss}")
        journal, now = self.journal, time.perf_counter()
        psnr = -10 * math.log10(max(error, 1e-10))
        journal.psnr = psnr if journal.psnr is None else 0.9 * journal.psnr + 0.1 * psnr
        speed = (state.iteration - self.window_iteration) / max(now - self.window_started, 1e-9)
        self.speed = speed if self.speed is None else 0.8 * self.speed + 0.2 * speed
        journal.history.append(
            {"iteration": state.iteration, "loss": mean_loss, "psnr": journal.psnr, "num_primitives": len(state)}
        )
        self.events(
            Progress(
                STAGE,
                state.iteration,
                self.config.iterations,
                it_per_s=self.speed,
                eta_s=(self.config.iterations - state.iteration) / self.speed,
                num_primitives=len(state),
                loss=mean_loss,
                psnr=journal.psnr,
            )
        )
        self.loss_sum, self.loss_count = torch.zeros(()), 0
        self.window_started, self.window_iteration = now, state.iteration

    def stop_clock(self) -> None:
        """Add the time since the start, or since the last call, to the journal."""
        now = time.perf_counter()
        self.journal.seconds += now - self.started
        self.started = now
