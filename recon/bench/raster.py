"""`recon bench raster`: the rasteriser and a training iteration, by number of Gaussians, threads and SIMD level."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from recon.bench.against import against_gsplat
from recon.bench.measure import device_name, machine, median_ms, peak_memory_mb
from recon.bench.report import Report
from recon.bench.scenes import synthetic
from recon.errors import ReconError
from recon.render.adam import adam_step
from recon.render.families import FAMILIES
from recon.render.image_loss import l1_ssim
from recon.render.library import core
from recon.render.rasterize import rasterize


@dataclass(frozen=True)
class Options:
    """Time forward, backward and a whole iteration on synthetic primitives with the footprints of a trained scene."""

    counts: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000)
    """Numbers of Gaussians."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    width: int = 270
    """Image width, px."""
    height: int = 480
    """Image height, px."""
    repeats: int = 15
    """Timed repetitions; the median counts."""
    levels: bool = True
    """Also compare the SIMD levels that this machine has, at 30k Gaussians."""
    families: tuple[str, ...] = ()
    """Compare these families, or `all`, at 30k primitives and the largest number of threads, and nothing else."""
    against: Literal["nothing", "gsplat"] = "nothing"
    """`gsplat`: compare with it on the GPU, at 1920x1080, and nothing else; see recon/bench/against.py."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON."""


def time_iteration(family: str, count: int, width: int, height: int, repeats: int) -> dict[str, float]:
    """Milliseconds of the parts of one training iteration."""
    params = {name: value.requires_grad_() for name, value in synthetic(family, count, width, height).items()}
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in params.items()}
    K = torch.tensor([[float(height), 0, width / 2], [0, float(height), height / 2], [0, 0, 1]])
    camera, background = torch.eye(4), torch.zeros(3)
    target = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(2))

    def forward() -> Tensor:
        return rasterize(params, camera, K, width, height, family=family, background=background).color

    def both() -> None:
        for value in params.values():
            value.grad = None
        torch.autograd.backward(forward(), direction)

    def iteration() -> None:
        for value in params.values():
            value.grad = None
        l1_ssim(forward(), target).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, value in params.items():
                assert value.grad is not None
                adam_step(value.detach(), value.grad, *moments[name], step=1, lr=0.0)

    with torch.no_grad():
        times = {"forward": median_ms(forward, repeats)}
    return {**times, "forward + backward": median_ms(both, repeats), "iteration": median_ms(iteration, repeats)}


def compare_families(options: Options, report: Report) -> None:
    """Add milliseconds per family at 30k primitives, and forward + backward relative to the Gaussians'."""
    names = tuple(FAMILIES) if "all" in options.families else options.families
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise ReconError("--families", found=unknown[0], wanted=f"all, or some of {', '.join(FAMILIES)}")
    before = torch.get_num_threads()
    torch.set_num_threads(max(options.threads))
    # Round robin, so that a machine that slows down for a while does so for all of them.
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("gaussian", *names)}
    for _ in range(3):
        for name in found:
            found[name].append(time_iteration(name, 30_000, options.width, options.height, options.repeats))
    best = {name: {key: min(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}
    base = best["gaussian"]["forward + backward"]
    rows = [[name, *times.values(), times["forward + backward"] / base] for name, times in best.items()]
    report.add(["family, 30k", "forward", "forward + backward", "iteration", "fwd + bwd / Gaussian"], rows)
    torch.set_num_threads(before)


def compare_counts(options: Options, report: Report) -> None:
    """Add milliseconds by number of Gaussians and threads, and by SIMD level."""
    before = torch.get_num_threads()
    rows: list[list[object]] = []
    for count in options.counts:
        single: float | None = None
        for threads in options.threads:
            torch.set_num_threads(threads)
            times = time_iteration("gaussian", count, options.width, options.height, options.repeats)
            single = single or times["iteration"]
            rows.append([count, threads, *times.values(), single / times["iteration"], peak_memory_mb()])
    report.add(["Gaussians", "threads", "forward", "forward + backward", "iteration", "speed-up", "peak MB"], rows)
    if options.levels:
        torch.set_num_threads(max(options.threads))
        chosen, rows = core.simd_level(), []
        for level in core.simd_levels():
            core.set_simd_level(level)
            times = time_iteration("gaussian", 30_000, options.width, options.height, options.repeats)
            rows.append([f"x86-64-{level}" if level.startswith("v") else level, *times.values()])
        core.set_simd_level(chosen)
        report.add(["SIMD level, 30k", "forward", "forward + backward", "iteration"], rows)
    torch.set_num_threads(before)


def main(options: Options) -> None:
    """Print the tables."""
    if options.against == "gsplat":
        report = Report(f"{device_name()}, {machine()}; medians of {options.repeats}, ms")
        against_gsplat(report, options.repeats)
    else:
        size = f"{options.width}x{options.height}"
        report = Report(f"{machine()}; {size}, SH degree 3, ms, medians of {options.repeats}")
        (compare_families if options.families else compare_counts)(options, report)
    report.write(options.out, "raster")
