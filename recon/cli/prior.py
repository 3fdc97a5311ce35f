"""recon prior"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Pairs:
    """Make damaged renders with their truth: procedural scenes, trained on a few photos each.

    A scene that is there is not made again: stop it and start it again as you like.
    """

    out: Path
    """Folder for the pairs, a file for each scene."""
    scenes: int = 24
    """Scenes to learn from that are trained shortly, about 8 s each."""
    long: int = 56
    """Scenes to learn from that are trained for long, about 30 s each."""
    validation: int = 8
    """Scenes of other shapes, prints and cameras to validate on; every second is trained for long."""
    workers: int = 1
    """Scenes at a time, each on one thread. The pairs are the same for any number."""

    def run(self) -> int:
        """Returns the exit code."""
        from recon.learn.pairs import fill, wanted

        fill(self.out, wanted(self.scenes, self.long, self.validation), self.workers)
        print(f"{self.scenes + self.long} scenes to learn from and {self.validation} to validate on in {self.out}")
        return 0


@dataclass(frozen=True)
class Train:
    """Train the small prior on pairs. Goes on where it was stopped; the result depends on the options alone.

    The defaults of `pairs` and `train` gave the weights that come with recon.
    """

    pairs: Annotated[Path, tyro.conf.Positional]
    """Folder that `recon prior pairs` filled."""
    out: Path
    """Folder for weights.safetensors, model-card.md, curve.jsonl and the state to go on from."""
    diffusion: bool = False
    """Conditional diffusion instead of plain regression."""
    iterations: int = 7000
    batch: int = 5
    """Crops in an iteration."""
    crop: int = 128
    """Side of a crop, px."""
    seed: int = 0
    scenes: int | None = None
    """How many of the scenes to learn from; all when not given."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where; results are equal on one kind of machine."""

    def run(self) -> int:
        """Returns the exit code."""
        from recon.learn.session import Session
        from recon.learn.train import TrainConfig
        from recon.priors.small.network import NetworkConfig
        from recon.render.device import choose_device

        config = TrainConfig(iterations=self.iterations, batch=self.batch, crop=self.crop, seed=self.seed)
        network, device = NetworkConfig(diffusion=self.diffusion), choose_device(self.device)[0]
        print(Session(self.pairs, self.out, network, config, self.scenes, device).run())
        return 0


@dataclass(frozen=True)
class Prior:
    """Make data for the small prior (`pairs`) and train it (`train`)."""

    task: (
        Annotated[Pairs, tyro.conf.subcommand("pairs", prefix_name=False)]
        | Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    )

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        return self.task.run()
