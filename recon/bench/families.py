"""`recon bench families`: every family of primitives on whole scenes: quality, number, time, size on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.bench.runs import fresh_run
from recon.errors import ReconError
from recon.splats.families import FAMILIES


@dataclass(frozen=True)
class Options:
    """Run scenes from nothing with each family and print a table per scene."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Scene files, such as configs/examples/demo.yaml."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Families to compare."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.iterations=500."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the tables."""
    unknown = [name for name in options.families if name not in FAMILIES]
    if unknown or not options.scenes:
        raise ReconError("nothing to compare", found=unknown or "no scene", wanted=f"scenes, and {', '.join(FAMILIES)}")
    report = Report(machine())
    for path in options.scenes:
        rows: list[list[object]] = []
        for family in options.families:
            with fresh_run(path, [*options.set, f"splats.primitive={family}"], "families") as done:
                size = (done.folder / "exports" / "splats.ply").stat().st_size / 1e6
                test, train, seconds = done.test, done.metrics["train"], done.info["optimize_seconds"]
                rows.append([family, f"{test['psnr']:.2f}", f"{test['ssim']:.3f}", f"{train['psnr']:.2f}",
                             done.primitives, f"{seconds:.0f}", f"{size:.1f}"])  # fmt: skip
        header = ["family", "held-out PSNR dB", "SSIM", "training PSNR dB", "primitives", "optimisation s", "PLY MB"]
        report.add(header, rows, path.stem)
    report.write(options.out, "families")
