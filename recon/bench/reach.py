"""`recon bench reach`: seconds of optimisation until held-out photos are as good as wanted, and of the whole run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.image import evaluate_views
from recon.evaluate.renderer import SplatRenderer
from recon.events import Event, SplatsMoved, StageStarted
from recon.pipeline.config import RunConfig, load_config
from recon.pipeline.run import run
from recon.pipeline.splats_stage import background_of
from recon.scene import Scene
from recon.scene.store import SceneStore


@dataclass(frozen=True)
class Options:
    """Run scenes, look at the held-out photos at intervals, with the clock stopped, and print when they were good
    enough. Give it a quiet machine."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Scene files, such as configs/examples/fox.yaml."""
    psnr: float = 19.05
    """Mean over the held-out photos to reach, dB; by default OpenSplat's best on fox with nine photos."""
    every: int = 50
    """Iterations between two looks; a multiple of `splats.report_every`."""
    seeds: int = 1
    """Runs per scene, with seeds 0, 1, ..."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set preset=fast."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the table."""
    if not options.scenes or options.seeds < 1 or options.every < 1:
        raise ReconError("nothing to run", wanted="at least one scene file, one seed and one iteration between looks")
    report, rows = Report(machine()), []
    for path in options.scenes:
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
                config = load_config(path, [*options.set, f"seed={seed}", f"output={folder}"])
                rows.append([path.stem, seed, *_timed(config, options)])
    columns = ["scene", "seed", "before the optimisation s", f"until {options.psnr:g} dB s", "iterations",
               "optimisation s", "whole run s", "dB", "SSIM"]  # fmt: skip
    report.add(columns, rows)
    report.write(options.out, "reach")


def _timed(config: RunConfig, options: Options) -> list[object]:
    """The cells of one run."""
    looks = Looks(config, options.every)
    result = run(config, listeners=[looks], argv=["recon", "bench", "reach"])
    seconds = time.perf_counter() - looks.began - looks.spent
    if result.interrupted:
        raise KeyboardInterrupt
    if "test" not in result.metrics:
        raise ReconError("no held-out views to measure", fix="set views.test or views.file")
    there = next((look for look in looks.found if look.psnr >= options.psnr), None)
    reached: list[object] = ["not reached", ""] if there is None else [f"{there.seconds:.1f}", there.iteration]
    test = result.metrics["test"]
    return [f"{looks.started - looks.began:.1f}", *reached, f"{looks.found[-1].seconds:.1f}", f"{seconds:.1f}",
            f"{test['psnr']:.2f}", f"{test['ssim']:.3f}"]  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The held-out photos after some iterations."""

    iteration: int
    seconds: float
    """Since the second stage began, looks left out."""
    psnr: float
    """Mean over photos, dB."""


@dataclass
class Looks:
    """Listens to a run and looks at its held-out photos every so many iterations."""

    config: RunConfig
    every: int
    began: float = field(default_factory=time.perf_counter)
    """When the run began, s."""
    started: float = 0.0
    """When its second stage began, s."""
    spent: float = 0.0
    """What the looks took, s."""
    found: list[Look] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        now = time.perf_counter()
        if isinstance(event, StageStarted) and event.stage == "splats":
            self.started = now
        if isinstance(event, SplatsMoved) and event.iteration % self.every == 0:
            psnr = self._psnr(event)
            self.found.append(Look(event.iteration, now - self.started - self.spent, psnr))
            self.spent += time.perf_counter() - now

    def _psnr(self, event: SplatsMoved) -> float:
        scene: Scene = SceneStore(self.config.output).load()  # what the first stage left
        color = background_of(scene)
        settings = self.config.splats
        renderer = SplatRenderer(
            event.snapshot(), torch.tensor(color or (0.0, 0.0, 0.0)), settings.loss.covers(color), settings.antialias
        )
        return float(evaluate_views(scene.split("test"), renderer, renderer.behind_photos)["psnr"])
