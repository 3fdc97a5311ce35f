"""`recon bench repair`: what the small prior adds to whole runs, in the optimisation and as a last repair of renders.

Runs unattended: every run is a line of `rows.jsonl` when it is done, and lines that are there are not run again.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from recon.bench.journal import Journal, Row
from recon.bench.measure import commit, machine
from recon.bench.report import Report
from recon.bench.runs import Done, fresh_run
from recon.errors import ReconError
from recon.evaluate.image import compare
from recon.evaluate.renderer import SplatRenderer
from recon.evaluate.repair import Repairer
from recon.priors.repair_small import RepairSmallConfig
from recon.priors.small.objective import right_pixels


@dataclass(frozen=True)
class Options:
    """What the small prior adds to whole runs: held-out PSNR and SSIM, and what it does to pixels that were right."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Scene files, such as configs/examples/fox.yaml."""
    captures: tuple[str, ...] = ()
    """Procedural captures as NAME:SEED, such as novel:1000; made in the output folder."""
    views: tuple[int, ...] = (3, 6, 9)
    """Numbers of training photos."""
    seeds: int = 1
    """Runs of each, with seeds 0, 1, ..."""
    weights: Path | None = None
    """Other weights than those that come with recon."""
    loop: bool = True
    """Also with the prior in the optimisation."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.iterations=500."""
    out: Path = Path("out/repair")
    """Folder for the tables as Markdown and JSON, the rows, and the captures."""


def main(options: Options) -> None:
    """Run what is missing and print the tables."""
    if not (options.scenes or options.captures):
        raise ReconError("nothing to run", wanted="a scene file or a capture such as novel:1000")
    options.out.mkdir(parents=True, exist_ok=True)
    paths = [*options.scenes, *(_capture(name, options.out) for name in options.captures)]
    journal = Journal(options.out)
    rows = [row for path in paths for count in options.views for row in _rows(path, count, options, journal)]
    report = Report(f"{machine()}\n\nHeld-out photos; commit {commit()}.")
    report.add(COLUMNS, list(_table(rows)), "What the small prior adds")
    report.write(options.out, "repair")


def _capture(name: str, out: Path) -> Path:
    """The scene file of a procedural capture, made unless it is there."""
    scene, _, seed = name.partition(":")
    folder = out / "captures" / name.replace(":", "-")
    if not (folder / "transforms.json").is_file():
        command = [sys.executable, "-m", "recon_datasets", scene, "--out", str(folder), "--seed", seed or "0"]
        subprocess.run(command, check=True)
    path = folder / "scene.yaml"
    path.write_text("images: .\nviews: {train: 9, file: splits.json}\noutput: out\n", encoding="utf-8")
    return path


def _rows(path: Path, count: int, options: Options, journal: Journal) -> Iterator[Row]:
    name = path.parent.name if path.name == "scene.yaml" else path.stem
    config = RepairSmallConfig(weights=options.weights)
    entry = {"name": "repair-small"} | ({} if options.weights is None else {"weights": str(options.weights.resolve())})
    variants = {"without": [], "in the loop": [f"splats.priors={json.dumps([entry])}"]}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
            for variant in list(variants)[: 1 + options.loop]:
                row: Row = {
                    "capture": name, "photos": count, "seed": seed, "variant": variant, "set": list(options.set),
                    "weights": config.content()[:12],
                }  # fmt: skip
                done_before = journal.find(**row)
                if done_before is None:
                    overrides = [f"views.train={count}", *options.set, f"seed={seed}", *variants[variant]]
                    with fresh_run(path, overrides, "repair", Path(folder)) as done:
                        row |= {"seconds": done.info["optimize_seconds"], **_measured(done, config)}
                    journal.add(row)
                    print(json.dumps(row), flush=True)
                yield done_before or row


def _measured(done: Done, config: RepairSmallConfig) -> Row:
    """Means over the held-out views of PSNR and SSIM, as rendered and with a last repair; and right pixels' PSNR."""
    renderer = SplatRenderer.of(done.scene)
    repairer = Repairer(done.scene, renderer, [config.load(torch.device("cpu"))])
    views = done.scene.split("test")
    sums: Row = dict.fromkeys(("psnr", "ssim", "repaired_psnr", "repaired_ssim"), 0.0)
    right = torch.zeros(2, dtype=torch.float64)
    for view, one in zip(views, repairer(views), strict=True):
        pair = [compare(view, image, renderer.behind_photos) for image in (one.request.render, one.image)]
        for key, found in zip(("", "repaired_"), pair, strict=True):
            sums[f"{key}psnr"] += found.psnr / len(views)
            sums[f"{key}ssim"] += found.ssim / len(views)
        damage = (pair[0].rendered - pair[0].photo).abs().mean(-1)
        good = right_pixels(damage[None, None])[0, 0]
        right += torch.tensor([float((of.rendered - of.photo).square().mean(-1)[good].double().sum()) for of in pair])
    return {**sums, "right_change": -10 * math.log10(float(right[1] / right[0])) if float(right[0]) > 0 else 0.0}


COLUMNS = ("capture", "photos", "seeds", "PSNR dB", "SSIM", "last repair: PSNR", "SSIM", "right pixels",
           "in the loop: PSNR", "SSIM", "both: PSNR", "SSIM", "seconds: without", "in the loop")  # fmt: skip


def _table(rows: Sequence[Row]) -> Iterator[list[object]]:
    """Means over seeds; all but the first two numbers are changes. Empty where the loop was not asked for."""
    for capture, count in dict.fromkeys((row["capture"], row["photos"]) for row in rows):
        own = [row for row in rows if (row["capture"], row["photos"]) == (capture, count)]
        plain, loop = ([row for row in own if row["variant"] == name] for name in ("without", "in the loop"))
        psnr, ssim = _mean(plain, "psnr"), _mean(plain, "ssim")

        def change(group: list[Row], name: str, base: float, digits: int) -> str:
            return f"{_mean(group, name) - base:+.{digits}f}" if group else ""

        yield [
            capture, count, len(plain), f"{psnr:.2f}", f"{ssim:.3f}",
            change(plain, "repaired_psnr", psnr, 2), change(plain, "repaired_ssim", ssim, 3),
            change(plain, "right_change", 0.0, 2),
            change(loop, "psnr", psnr, 2), change(loop, "ssim", ssim, 3),
            change(loop, "repaired_psnr", psnr, 2), change(loop, "repaired_ssim", ssim, 3),
            f"{_mean(plain, 'seconds'):.0f}", f"{_mean(loop, 'seconds'):.0f}" if loop else "",
        ]  # fmt: skip


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
