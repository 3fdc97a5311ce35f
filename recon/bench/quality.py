"""`recon bench quality`: captures x numbers of photos x variants x seeds, and what each piece is worth.

Runs unattended: every run is a line of `rows.jsonl` when it is done, and lines that are there are not run again.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from recon.bench.journal import Journal, Row
from recon.bench.measure import commit, machine
from recon.bench.report import Report
from recon.bench.runs import Done, fresh_run
from recon.bench.truth import Truth, geometry
from recon.bench.variants import base_of, ladder, overrides_of
from recon.errors import ReconError
from recon.io.capture import read_capture
from recon.io.decode import decode_photo, write_png
from recon.io.splits import spread
from recon.pipeline.config import RunConfig, load_config, to_plain
from recon.pipeline.poses_stage import PosesStage

_FOLDS = 4  # runs that stand in for leaving out each photo, where there are no unused ones
_UNUSED = 12  # unused photos that are looked at; more take longer and say the same


@dataclass(frozen=True)
class Options:
    """Quality of whole runs: mean and spread over seeds, the worst tenth of the views, and an ablation."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Scene files, such as configs/examples/fox.yaml."""
    captures: tuple[str, ...] = ()
    """Procedural captures, such as table, whose geometry is known; made in the output folder."""
    views: tuple[int, ...] = ()
    """Numbers of training photos; by default what each scene file says, 9 for captures."""
    variants: tuple[str, ...] = tuple(ladder())
    """Steps of the ablation ("plain", "+ dense start", ...), extras ("binocular", ...), or "NAME: KEY=VALUE ..." for
    overrides of the defaults."""
    seeds: int = 3
    """Runs of each, with seeds 0, 1, ..."""
    judge: Literal["held-out", "unused"] = "held-out"
    """Photos to measure on. `unused`: training photos that the run does not use, or else each fourth left out in turn:
    for choosing settings without looking at held-out photos."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.iterations=500."""
    out: Path = Path("out/quality")
    """Folder for the tables as Markdown and JSON, the rows, and a picture of each worst view."""


@dataclass(frozen=True)
class _Job:
    """A capture and the photos to train and to measure on."""

    path: Path
    name: str
    count: int
    fold: int
    overrides: tuple[str, ...]


def main(options: Options) -> None:
    """Run what is missing and print the tables."""
    if not (options.scenes or options.captures) or options.seeds < 1:
        raise ReconError("nothing to run", wanted="at least one scene file or capture, and one seed")
    for variant in options.variants:
        overrides_of(variant)
    options.out.mkdir(parents=True, exist_ok=True)
    scenes = [*options.scenes, *(make_capture(name, options.out) for name in options.captures)]
    journal = Journal(options.out)
    rows = []
    for path in scenes:
        for job in _jobs(path, options):
            for seed in range(options.seeds):
                # One folder for all variants, so that what they share of the first stage is done once.
                with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
                    for variant in options.variants:
                        rows.append(_row(job, variant, seed, options, journal, Path(folder)))
    report = Report(f"{machine()}\n\nMeasured on {options.judge} photos; runs of commit {_commits(rows)}.")
    report.add(QUALITY, list(_quality(rows, options.variants)), "Quality")
    gains = list(_gains(rows, options.variants))
    if gains:
        report.add(["capture", "photos", "variant", "on top of", "gain dB", "SSIM"], gains, "What each piece adds")
    report.write(options.out, "quality")


def make_capture(name: str, out: Path) -> Path:
    """The scene file of a procedural capture, made unless it is there."""
    folder = out / "captures" / name
    if not (folder / "transforms.json").is_file():
        subprocess.run([sys.executable, "-m", "recon_datasets", name, "--out", str(folder)], check=True)
    path = folder / "scene.yaml"
    path.write_text("images: .\nviews: {train: 9, file: splits.json}\noutput: out\n", encoding="utf-8")
    return path


def _jobs(path: Path, options: Options) -> Iterator[_Job]:
    name = path.parent.name if path.name == "scene.yaml" else path.stem
    for count in options.views or (None,):
        wanted = [] if count is None else [f"views.train={count}"]
        config = load_config(path, [*options.set, *wanted])
        scene = PosesStage(config).capture.scene
        train = [view.name for view in scene.split("train")]
        if options.judge == "held-out":
            yield _Job(path, name, len(train), 0, tuple(wanted))
            continue
        for fold, (some, test) in enumerate(unused(config, train, [view.name for view in scene.split("test")])):
            split = [f"views.{key}={json.dumps(names)}" for key, names in (("train", some), ("test", test))]
            yield _Job(path, name, len(train), fold, (*split, "views.file=null"))


def unused(config: RunConfig, train: Sequence[str], held_out: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """Pairs of photos to train and to measure on, none of them held out.

    One pair when the capture has photos in neither split; else the training photos are left out in turn.
    """
    images = config.images if isinstance(config.images, Path) else list(config.images)
    views = read_capture(images, config.cameras, config.masks).scene.views
    free = [view.name for view in views if view.split != "test" and view.name not in {*train, *held_out}]
    if free:
        return [(list(train), [free[i] for i in spread(min(_UNUSED, len(free)), len(free))])]
    if len(train) < 3:
        raise ReconError(
            "no photo to judge by", found=f"{len(train)} training photos, none unused", wanted="three or more"
        )
    folds = min(_FOLDS, len(train))
    parts = [list(train[fold::folds]) for fold in range(folds)]
    return [([name for name in train if name not in part], part) for part in parts]


def _row(job: _Job, variant: str, seed: int, options: Options, journal: Journal, folder: Path) -> Row:
    """The row of one run, which is made unless its line is there."""
    overrides = [*job.overrides, *overrides_of(variant), *options.set, f"seed={seed}"]
    plain = {name: value for name, value in to_plain(load_config(job.path, overrides)).items() if name != "output"}
    key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:20]
    row: Row = {"capture": job.name, "photos": job.count, "fold": job.fold, "variant": variant, "seed": seed}
    known = journal.find(key=key)
    if known is not None:
        return known | row
    with fresh_run(job.path, overrides, "quality", folder) as done:
        test = done.test
        row |= {
            "key": key, "commit": commit(), "psnr": test["psnr"], "ssim": test["ssim"],
            "views": {name: one["psnr"] for name, one in test["views"].items()},
            "seconds": done.info["optimize_seconds"], "primitives": done.primitives,
            "memory_mb": done.info["peak_memory_mb"], **({"lpips": test["lpips"]} if "lpips" in test else {}),
        }  # fmt: skip
        truth = Truth.of(Path(plain["images"])) if isinstance(plain["images"], str) else None
        if truth is not None:
            row |= geometry(done.scene, truth, done.scene.split("test"))
        _picture(row, done, options.out, journal.rows)
    journal.add(row)
    print(f"{job.name} {job.count} {variant!r} seed {seed} fold {job.fold}: {row['psnr']:.2f} dB", flush=True)
    return row


def _picture(row: Row, done: Done, out: Path, others: Sequence[Row]) -> None:
    """The worst view, photo and render side by side, unless an earlier run of the variant has a worse one."""
    same = ("capture", "photos", "variant")
    name, worst = min(row["views"].items(), key=lambda one: one[1])
    if any(min(old["views"].values()) <= worst for old in others if all(old[key] == row[key] for key in same)):
        return
    view = next(view for view in done.scene.views if view.name == name)
    assert view.photo is not None
    render, _ = decode_photo(done.folder / "renders" / "test" / Path(name).with_suffix(".png"))
    photo, _ = decode_photo(view.photo.path)
    words = "-".join("".join(letter if letter.isalnum() else " " for letter in row["variant"]).split())
    path = out / "worst" / f"{row['capture']}-{row['photos']}-{words}.png"
    path.parent.mkdir(exist_ok=True)
    write_png(path, np.concatenate([photo[..., :3], render], axis=1))


QUALITY = ("capture", "photos", "variant", "PSNR dB", "worst tenth of views", "SSIM", "optimisation s", "primitives",
           "peak MB", "LPIPS", "floating", "haze", "depth within 2 %")  # fmt: skip
Cell = tuple[str, int]


def _cells(rows: Sequence[Row]) -> list[Cell]:
    return list(dict.fromkeys((row["capture"], row["photos"]) for row in rows))


def _of(rows: Sequence[Row], cell: Cell, variant: str) -> list[Row]:
    return [row for row in rows if (row["capture"], row["photos"]) == cell and row["variant"] == variant]


def _by_seed(rows: Sequence[Row], what: str) -> dict[int, float]:
    """Means over folds."""
    seeds = sorted({row["seed"] for row in rows})
    return {seed: statistics.mean(row[what] for row in rows if row["seed"] == seed) for seed in seeds}


def _spread(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation, of one value the value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _quality(rows: Sequence[Row], variants: Sequence[str]) -> Iterator[list[object]]:
    for cell in _cells(rows):
        for variant in variants:
            found = _of(rows, cell, variant)
            views = [value for row in found for value in row["views"].values()]
            yield [
                *cell, variant.partition(":")[0], _spread(list(_by_seed(found, "psnr").values()), 2),
                f"{np.quantile(views, 0.1):.2f}", _spread(list(_by_seed(found, "ssim").values()), 3),
                *(statistics.mean(row[name] for row in found) for name in ("seconds", "primitives", "memory_mb")),
                *(
                    f"{statistics.mean(row[name] for row in found):.3f}" if name in found[0] else ""
                    for name in ("lpips", "floating", "haze", "depth")
                ),
            ]  # fmt: skip


def _gains(rows: Sequence[Row], variants: Sequence[str]) -> Iterator[list[object]]:
    """Differences within each seed between a variant and the one that it adds a piece to."""
    for cell in _cells(rows):
        for variant in variants:
            base = base_of(variant)
            if base is None or base not in variants:
                continue
            differences = []
            for what in ("psnr", "ssim"):
                new, old = (_by_seed(_of(rows, cell, name), what) for name in (variant, base))
                differences.append([new[seed] - old[seed] for seed in new])
            yield [*cell, variant.partition(":")[0], base, _spread(differences[0], 2), _spread(differences[1], 3)]


def _commits(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(row["commit"] for row in rows))
