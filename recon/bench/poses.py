"""`recon bench poses`: cameras from photos alone against known ones, by capture, number of photos and seed."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.poses import PoseErrors, pose_errors
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
    """Folder for the table as Markdown and JSON."""


@dataclass(frozen=True)
class _Result:
    registered: int
    photos: int
    errors: PoseErrors | None
    seconds: float
    said: str


def main(options: Options) -> None:
    """Print the table: medians over seeds, and the worst of all seeds."""
    if not options.captures or options.seeds < 1:
        raise ReconError("nothing to estimate", wanted="at least one capture and one seed")
    report = Report(machine())
    rows: list[list[object]] = []
    for path in options.captures:
        capture = read_capture(path, poses="optional")
        for count in options.views or (len(capture.scene.views),):
            if count <= len(capture.scene.views):
                photos = _photos(capture, path, count, options.neighbors)
                results = [_announced(capture, path, photos, seed) for seed in range(options.seeds)]
                rows.append([path.name, count, *_row(results)])
    header = ["capture", "photos", "registered", "rotation deg: median", "worst", "centre %: median", "worst",
              "focal %: worst", "AUC@5", "s", "said"]  # fmt: skip
    report.add(header, rows, f"Cameras from photos alone, {options.seeds} seed(s)")
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


def _announced(capture: Capture, path: Path, photos: tuple[View, ...], seed: int) -> _Result:
    """The result, which is printed at once: the table comes when the last capture is done."""
    found = _estimate(capture, photos, seed)
    figures = "no truth" if found.errors is None else ", ".join(
        f"{name} {value:.4f}" for name, value in found.errors.figures().items() if name != "views"
    )  # fmt: skip
    print(f"{path.name} {len(photos)} seed {seed}: {found.registered} registered, {figures}. {found.said}", flush=True)
    return found


def _estimate(capture: Capture, photos: tuple[View, ...], seed: int) -> _Result:
    count = len(photos)
    blank = tuple(replace(view, world_to_camera=torch.eye(4, dtype=torch.float64)) for view in photos)
    begin = time.perf_counter()
    try:
        found = SfmPoses(SfmConfig(), 2).estimate(PoseInput(Scene(blank), seed, ignore))
    except ReconError as error:
        said = str(error.found).strip().splitlines()[0].strip()
        return _Result(0, count, None, time.perf_counter() - begin, f"failure: {said}")
    errors = pose_errors(found.scene.views, photos) if capture.posed else None
    said = "; ".join(f"{one.name}: {one.reason}" for one in found.left_out)
    return _Result(len(found.scene.views), count, errors, time.perf_counter() - begin, said)


def _row(results: list[_Result]) -> list[object]:
    registered = min(one.registered for one in results)
    seconds = statistics.median(one.seconds for one in results)
    said = next((one.said for one in results if one.said), "")
    errors = [one.errors for one in results if one.errors is not None]
    if not errors:
        return [registered, *["-"] * 6, f"{seconds:.0f}", said]
    figures = [one.figures() for one in errors]

    def over(name: str, worst: bool, scale: float = 1.0) -> str:
        values = [scale * one[name] for one in figures]
        return f"{max(values) if worst else statistics.median(values):.3f}"

    return [
        registered, over("rotation_deg_median", False), over("rotation_deg_worst", True),
        over("center_share_median", False, 100), over("center_share_worst", True, 100),
        over("focal_share_median", True, 100), f"{min(one['auc_5'] for one in figures):.3f}", f"{seconds:.0f}", said,
    ]  # fmt: skip
