"""Training of the small prior: resumable, and the same for the same seed on one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from recon.config import config
from recon.learn.batches import draw
from recon.learn.pairs import Pairs
from recon.priors.small.network import NetworkConfig, Restorer
from recon.priors.small.objective import guess, objective

STATE = "state.pt"
CPU = torch.device("cpu")


@config
class TrainConfig:
    """How long and how hard."""

    iterations: Annotated[int, Field(ge=1)] = 7000
    batch: Annotated[int, Field(ge=1)] = 5
    crop: Annotated[int, Field(ge=16, multiple_of=16)] = 128
    """Side of the crops, px."""
    rate: Annotated[float, Field(gt=0)] = 1e-3
    """Largest step size of Adam; it rises over the first 200 iterations and falls as a cosine."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the running mean of the weights, which is the result."""
    harm: Annotated[float, Field(ge=0)] = 0.3
    """Weight of making pixels worse than the render is, beside the error."""
    seed: int = 0


@dataclass
class Progress:
    """Everything that changes; what a checkpoint holds."""

    network: Restorer
    mean: Restorer
    """With the running means of the weights."""
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0

    @staticmethod
    def start(network: NetworkConfig, config: TrainConfig, device: torch.device = CPU) -> Progress:
        """Before the first iteration."""
        torch.manual_seed(config.seed)
        one, mean = Restorer(network), Restorer(network)
        mean.load_state_dict(one.state_dict())
        one.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean.to(device)
        return Progress(one, mean, torch.optim.AdamW(one.parameters(), config.rate, (0.9, 0.99), weight_decay=1e-4))

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return next(self.mean.parameters()).device

    def save(self, folder: Path) -> None:
        """Write in one piece."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "network": self.network.state_dict(), "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(), "iteration": self.iteration, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, folder / f"{STATE}.tmp")
        (folder / f"{STATE}.tmp").replace(folder / STATE)

    def load(self, folder: Path) -> None:
        """Go on where `save` left off."""
        state = torch.load(folder / STATE, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.seconds = state["iteration"], state["seconds"]


def train(
    progress: Progress, pairs: Sequence[Pairs], config: TrainConfig, report: Callable[[int, float], None],
    until: int | None = None, bfloat16: bool = True,
) -> None:  # fmt: skip
    """Train up to iteration `until` (by default, all). `report` gets the iteration and the mean loss of 100."""
    losses: list[float] = []
    started = time.perf_counter()
    while progress.iteration < (until or config.iterations):
        for group in progress.optimizer.param_groups:
            group["lr"] = rate_at(progress.iteration, config)
        drawn = draw(pairs, config.batch, config.crop, config.seed, progress.iteration)
        layers, truth = (one.to(progress.device) for one in drawn)
        with torch.autocast(progress.device.type, torch.bfloat16, enabled=bfloat16):
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + progress.iteration)
            restored = guess(progress.network, layers, truth, generator)
        loss = objective(restored, layers[:, :3], truth, config.harm)
        progress.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(progress.network.parameters(), 1.0)
        progress.optimizer.step()
        progress.iteration += 1
        with torch.no_grad():
            decay = min(config.average, 1 - 1 / progress.iteration)
            for mean, value in zip(progress.mean.parameters(), progress.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        losses.append(float(loss.detach()))
        if progress.iteration % 100 == 0:
            now = time.perf_counter()
            progress.seconds, started = progress.seconds + now - started, now
            report(progress.iteration, sum(losses) / len(losses))
            losses.clear()
    progress.seconds += time.perf_counter() - started


def rate_at(iteration: int, config: TrainConfig) -> float:
    """Step size of an iteration."""
    warm = min(1.0, (iteration + 1) / 200)
    return config.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * iteration / config.iterations)))
