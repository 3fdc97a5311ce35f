"""`recon bench dense`: the dense start against true depths, and what it is worth to the splats."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.bench.runs import fresh_run
from recon.geometry.camera import pixel_grid
from recon.io.capture import read_capture
from recon.io.images import load_image
from recon.io.splits import assign_splits
from recon.poses.known import with_points
from recon.stereo.depth_maps import DepthMap, StereoConfig, depth_maps
from recon.stereo.neighbors import scene_points

_HIDDEN = 0.02  # a photo sees a point when its true depth agrees to this share


@dataclass(frozen=True)
class Options:
    """Depth errors on procedural captures, and held-out PSNR of scenes with a sparse and with a dense start."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Scene files to train, such as configs/examples/demo.yaml."""
    captures: tuple[str, ...] = ("table", "corner", "sheet")
    """Procedural captures with true depths."""
    views: tuple[int, ...] = (3, 6, 9)
    """Numbers of training photos of the captures."""
    iterations: int = 1000
    """Iterations of the scenes."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the tables."""
    report = Report(machine())
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
        for name in options.captures:
            capture = Path(folder) / name
            subprocess.run([sys.executable, "-m", "recon_datasets", name, "--out", str(capture)], check=True)
            rows += [[name, count, *measure(capture, count)] for count in options.views]
    if rows:
        header = ["capture", "photos", "seen by two", "of those within 1 %", "within 2 %", "s"]
        report.add(header, rows, "Depth against the truth")
    gains = [[path.stem, *compare(path, options.iterations)] for path in options.scenes]
    if gains:
        header = ["scene", "sparse start: PSNR dB", "SSIM", "dense start: PSNR dB", "SSIM", "gain dB"]
        report.add(header, gains, f"Held-out photos after {options.iterations} iterations")
    report.write(options.out, "dense")


def measure(capture: Path, count: int) -> list[object]:
    """Share of pixels that two photos see, shares of them with 1 and 2 % depth error, and seconds of the search."""
    scene = with_points(assign_splits(read_capture(capture, None, None).scene, count, None, capture / "splits.json"))
    views = scene.split("train")
    images = [load_image(view) for view in views]
    points = None if scene.points is None else scene.points.positions
    begin = time.perf_counter()
    shown = scene_points(views, points)
    maps = depth_maps(
        views, [(image.rgb, image.alpha) for image in images], shown, StereoConfig(), 0, lambda done, total: None
    )
    seconds = time.perf_counter() - begin
    truths = [torch.from_numpy(np.load(capture / "depth" / f"{Path(view.name).stem}.npy")).double() for view in views]
    errors, seen = [], []
    for index, one in enumerate(maps):
        errors.append((1 / one.inverse_depth.double() / truths[index] - 1).abs())
        seen.append(_seen_elsewhere(index, maps, truths))
    error, where = torch.stack(errors), torch.stack(seen)
    within = [float((error[where] < limit).double().mean()) for limit in (0.01, 0.02)]
    return [float(where.double().mean()), *within, seconds]


def _seen_elsewhere(index: int, maps: list[DepthMap], truths: list[torch.Tensor]) -> torch.Tensor:
    """Pixels [H, W] of a photo that another photo shows, too."""
    view = maps[index].view
    world = view.unproject(pixel_grid(view.camera.width, view.camera.height, torch.float64), truths[index])
    seen = torch.zeros(truths[index].shape, dtype=torch.bool)
    for other, truth in zip(maps, truths, strict=True):
        if other is maps[index]:
            continue
        pixels, depths, inside = other.view.project(world)
        x, y = torch.where(inside[..., None], pixels, torch.zeros_like(pixels)).long().unbind(-1)
        seen |= inside & ((truth[y, x] / depths - 1).abs() < _HIDDEN)
    return seen


def compare(path: Path, iterations: int) -> list[object]:
    """PSNR and SSIM with a sparse start, with a dense one, and the difference in dB."""
    found: list[float] = []
    for method in ("none", "stereo"):
        overrides = [f"poses.dense.method={method}", f"splats.iterations={iterations}"]
        with fresh_run(path, overrides, "dense") as done:
            found += [done.test["psnr"], done.test["ssim"]]
    return [*found, found[2] - found[0]]
