"""`recon bench train`: whole runs of a scene.yaml, with held-out quality, seconds, primitives and memory."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.bench.runs import fresh_run
from recon.errors import ReconError


@dataclass(frozen=True)
class Options:
    """Run scenes from nothing, once per seed, and print one row each and the mean per scene."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Scene files, such as configs/examples/fox.yaml."""
    seeds: int = 1
    """Runs per scene, with seeds 0, 1, ..."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.iterations=500."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the table."""
    if not options.scenes or options.seeds < 1:
        raise ReconError("nothing to run", wanted="at least one scene file and one seed")
    report = Report(machine())
    rows: list[list[object]] = []
    for path in options.scenes:
        found: list[list[float]] = []
        for seed in range(options.seeds):
            with fresh_run(path, [*options.set, f"seed={seed}"], "train") as done:
                test, info = done.test, done.info
                found.append([test["psnr"], test["ssim"], info["optimize_seconds"], done.primitives,
                              info["peak_memory_mb"]])  # fmt: skip
            rows.append([path.stem, seed, *(f"{value:.4g}" for value in found[-1])])
        if options.seeds > 1:
            mean = [
                f"{statistics.mean(column):.4g} ± {statistics.stdev(column):.2g}" for column in zip(*found, strict=True)
            ]
            rows.append([path.stem, "mean ± sd", *mean])
    report.add(["scene", "seed", "PSNR dB", "SSIM", "optimisation s", "primitives", "peak MB"], rows)
    report.write(options.out, "train")
