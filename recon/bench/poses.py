"""`recon bench poses`: cameras from photos alone against known ones, by capture, number of photos and seed.

With `--out` every run is a line of `rows.jsonl` when it is done, and lines that are there are not run again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from recon.bench.journal import Journal, Row
from recon.bench.measure import commit, machine
from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.poses import pose_errors
from recon.events import ignore
from recon.io.capture import read_capture
from recon.io.frames import Capture
from recon.io.splits import assign_splits
from recon.poses.estimators import PoseInput
from recon.poses.estimators.sfm import SfmPoses
from recon.poses.sfm.config import SfmConfig
from recon.scene import Scene, View


@dataclass(frozen=True)
class Options:
    """Estimate the cameras of captures and compare them with those that came with them, where some did."""

    captures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of captures. A splits.json beside the photos names the training photos of each number."""
    views: tuple[int, ...] = ()
    """Numbers of photos; all by default. Spread evenly unless splits.json names them."""
    neighbors: bool = False
    """Photos next to each other, from the middle of the capture, in place of photos spread over it."""
    seeds: int = 3
    """Runs of each, with seeds 0, 1, ..."""
    out: Path | None = None
    """Folder for the table as Markdown and JSON, and for the rows."""


def main(options: Options) -> None:
    """Print the table: medians over seeds, and the worst of all seeds."""
    if not options.captures or options.seeds < 1:
        raise ReconError("nothing to estimate", wanted="at least one capture and one seed")
    journal = Journal(options.out)
    table: list[list[object]] = []
    commits: dict[str, None] = {}
    for path in options.captures:
        capture = read_capture(path, poses="optional")
        for count in options.views or (len(capture.scene.views),):
            if count <= len(capture.scene.views):
                photos = _photos(capture, path, count, options.neighbors)
                chosen = {"capture": path.name, "photos": [view.name for view in photos]}
                runs = [_announced(capture, photos, {**chosen, "seed": s}, journal) for s in range(options.seeds)]
                table.append([path.name, count, *_cells(runs)])
                commits |= dict.fromkeys(row["commit"] for row in runs)
    report = Report(f"{machine()}; runs of commit {', '.join(commits)}")
    header = ["capture", "photos", "registered", "rotation deg: median", "worst", "centre %: median", "worst",
              "focal %: worst", "AUC@5", "s", "said"]  # fmt: skip
    report.add(header, table, f"Cameras from photos alone, {options.seeds} seed(s)")
    report.write(options.out, "poses")


def _photos(capture: Capture, path: Path, count: int, neighbors: bool) -> tuple[View, ...]:
    """The photos to find the cameras of, as they came."""
    views = capture.scene.views
    if neighbors:
        first = (len(views) - count) // 2
        return views[first : first + count]
    splits = path / "splits.json"
    chosen = assign_splits(capture.scene, count, None, splits if splits.is_file() else None)
    return tuple(view for view in chosen.views if view.split == "train")


def _announced(capture: Capture, photos: tuple[View, ...], chosen: Row, journal: Journal) -> Row:
    """The run's row, which is printed at once: the table comes when the last capture is done."""
    row = journal.find(**chosen)
    if row is None:
        row = {**chosen, "commit": commit(), **_estimate(capture, photos, chosen["seed"])}
        journal.add(row)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in row["errors"].items() if name != "views")
    print(
        f"{row['capture']} {len(photos)} seed {row['seed']}: {row['registered']} registered, {figures or 'no truth'}."
        f" {row['said']}",
        flush=True,
    )
    return row


def _estimate(capture: Capture, photos: tuple[View, ...], seed: int) -> Row:
    """How many photos came together, the errors of those where truth is known, the time, and what was said."""
    blank = tuple(replace(view, world_to_camera=torch.eye(4, dtype=torch.float64)) for view in photos)
    begin = time.perf_counter()
    try:
        found = SfmPoses(SfmConfig(), 2).estimate(PoseInput(Scene(blank), seed, ignore))
    except ReconError as error:
        seconds, said = time.perf_counter() - begin, str(error.found).strip().splitlines()[0].strip()
        return {"registered": 0, "errors": {}, "seconds": seconds, "said": f"failure: {said}"}
    errors = pose_errors(found.scene.views, photos) if capture.posed else None
    seconds, said = time.perf_counter() - begin, "; ".join(f"{one.name}: {one.reason}" for one in found.left_out)
    figures = {} if errors is None else errors.figures()
    return {"registered": len(found.scene.views), "errors": figures, "seconds": seconds, "said": said}


def _cells(rows: Sequence[Row]) -> list[object]:
    registered = min(row["registered"] for row in rows)
    seconds = statistics.median(row["seconds"] for row in rows)
    said = next((row["said"] for row in rows if row["said"]), "")
    figures = [row["errors"] for row in rows if row["errors"]]
    if not figures:
        return [registered, *["-"] * 6, f"{seconds:.0f}", said]

    def over(name: str, worst: bool, scale: float = 1.0) -> str:
        values = [scale * one[name] for one in figures]
        return f"{max(values) if worst else statistics.median(values):.3f}"

    return [
        registered, over("rotation_deg_median", False), over("rotation_deg_worst", True),
        over("center_share_median", False, 100), over("center_share_worst", True, 100),
        over("focal_share_median", True, 100), f"{min(one['auc_5'] for one in figures):.3f}", f"{seconds:.0f}", said,
    ]  # fmt: skip
