"""`recon bench repair`: what the small prior adds to whole runs, in the optimisation and as a last repair of renders.

Runs unattended: every run is a line of `rows.jsonl` when it is done, and lines that are there are not run again.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from pydantic import TypeAdapter

from recon.bench.journal import Journal, Row
from recon.bench.measure import commit, machine
from recon.bench.report import Report
from recon.bench.runs import Done, fresh_run
from recon.errors import ReconError
from recon.evaluate.image import Comparison, compare
from recon.evaluate.renderer import SplatRenderer
from recon.evaluate.repair import Repairer
from recon.priors import AnyPrior
from recon.priors.repair_small import RepairSmallConfig
from recon.priors.small.adapt import AdaptSettings
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
    adapt: int = 0
    """Also with a prior in the optimisation that learns each scene first, in so many steps; 0 for not."""
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
    plain = RepairSmallConfig(weights=options.weights and options.weights.resolve())
    priors: dict[str, RepairSmallConfig | None] = {"without": None}
    priors |= {"loop": plain} if options.loop else {}
    priors |= {"learnt": replace(plain, adapt=AdaptSettings(steps=options.adapt))} if options.adapt else {}
    for seed in range(options.seeds):
        row: Row = {
            "capture": name, "photos": count, "seed": seed, "variants": list(priors), "set": list(options.set),
            "weights": plain.content()[:12],
        }  # fmt: skip
        done_before = journal.find(**row)
        if done_before is None:
            before: list[Comparison] = []
            with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
                for variant, prior in priors.items():
                    entries = (
                        [] if prior is None else [f"splats.priors=[{TypeAdapter(AnyPrior).dump_json(prior).decode()}]"]
                    )
                    overrides = [f"views.train={count}", *options.set, f"seed={seed}", *entries]
                    with fresh_run(path, overrides, "repair", Path(folder)) as done:
                        row[variant] = {"seconds": done.info["optimize_seconds"]}
                        row[variant] |= _measured(done, prior or plain, before)
            journal.add(row)
            print(json.dumps(row), flush=True)
        yield done_before or row


def _measured(done: Done, config: RepairSmallConfig, before: list[Comparison]) -> Row:
    """Means over the held-out views as rendered and with a last repair, and what happened to pixels that were right.

    before: the renders without a prior, which the first call fills in.
    """
    renderer = SplatRenderer.of(done.scene)
    repairer = Repairer.of(done.scene, done.folder, renderer)
    repairer = repairer or Repairer(done.scene, renderer, [config.load(torch.device("cpu"))])
    views = done.scene.split("test")
    made = repairer(views)
    shown = {"rendered": [one.request.render for one in made], "repaired": [one.image for one in made]}
    result: Row = {}
    for name, images in shown.items():
        found = [compare(view, image, renderer.behind_photos) for view, image in zip(views, images, strict=True)]
        before.extend([] if before else found)
        result[name] = {
            "psnr": statistics.mean(one.psnr for one in found), "ssim": statistics.mean(one.ssim for one in found),
            "right": right_change(before, found),
        }  # fmt: skip
    return result


def right_change(before: Sequence[Comparison], after: Sequence[Comparison]) -> float:
    """Change of the PSNR, dB, of those pixels of all views that were right before."""
    error = torch.zeros(2, dtype=torch.float64)
    for pair in zip(before, after, strict=True):
        damage = (pair[0].rendered - pair[0].photo).abs().mean(-1)
        good = right_pixels(damage[None, None])[0, 0]
        error += torch.stack([(one.rendered - one.photo).double().square().mean(-1)[good].sum() for one in pair])
    return -10 * math.log10(float(error[1] / error[0])) if bool((error > 0).all()) else 0.0


COLUMNS = ("capture", "photos", "seeds", "variant", "PSNR dB", "SSIM", "right pixels dB", "seconds")
VARIANTS = {"without": "as it is", "loop": "in the loop", "learnt": "in the loop, learnt"}


def _table(rows: Sequence[Row]) -> Iterator[list[object]]:
    """Means over seeds; all but the first line of a capture are changes."""
    for capture, count in dict.fromkeys((row["capture"], row["photos"]) for row in rows):
        own = [row for row in rows if (row["capture"], row["photos"]) == (capture, count)]
        for variant in (name for name in VARIANTS if name in own[0]):
            yield [capture, count, len(own), VARIANTS[variant], *_line(own, variant, "rendered")]
            yield [capture, count, len(own), f"{VARIANTS[variant]}, repaired", *_line(own, variant, "repaired")]


def _line(rows: Sequence[Row], variant: str, shown: str) -> list[str]:
    """PSNR, SSIM, what happened to right pixels, seconds."""
    made, base = (
        {name: statistics.mean(row[a][b][name] for row in rows) for name in ("psnr", "ssim", "right")}
        for a, b in ((variant, shown), ("without", "rendered"))
    )
    seconds = f"{statistics.mean(row[variant]['seconds'] for row in rows):.0f}"
    if (variant, shown) == ("without", "rendered"):
        return [f"{base['psnr']:.2f}", f"{base['ssim']:.3f}", "", seconds]
    change = [f"{made['psnr'] - base['psnr']:+.2f}", f"{made['ssim'] - base['ssim']:+.3f}"]
    return [*change, f"{made['right']:+.2f}", seconds]
