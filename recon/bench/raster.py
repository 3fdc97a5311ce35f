"""`recon bench raster`: the rasteriser and a training iteration, by number of Gaussians, threads and SIMD level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.bench.measure import machine, median_ms, peak_memory_mb, table
from recon.render.adam import adam_step
from recon.render.image_loss import l1_ssim
from recon.render.library import core
from recon.render.rasterize import rasterize


@dataclass(frozen=True)
class Options:
    """Time forward, backward and a whole iteration on synthetic Gaussians with the footprints of a trained scene."""

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


def synthetic_gaussians(count: int, width: int, height: int, seed: int = 0) -> dict[str, Tensor]:
    """Degree-3 Gaussians spread over the image at depths 2 to 6, focal length = height.

    Standard deviations are log-normal around 3 px at 30,000 Gaussians and shrink with the root of their number, so the
    image stays covered about as often; two axes to one are 3:1 on average. At 30,000 and 270x480 each meets some 34
    rows of 16 px, like the scenes that the published figures were taken on.
    """
    g = torch.Generator().manual_seed(seed)
    depth = 2 + 4 * torch.rand(count, generator=g)
    xy = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor([width, height]) / height
    sigma = 3.0 * math.sqrt(30_000 / count) / height * depth
    log_scales = sigma.log()[:, None] + 0.5 * torch.randn(count, 3, generator=g) - torch.tensor([0.0, 0.0, 1.0])
    return {
        "means": torch.cat([xy * depth[:, None], depth[:, None]], dim=1),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": log_scales,
        "opacity_logits": torch.randn(count, generator=g) * 1.5 - 0.5,
        "sh_coeffs": torch.randn(count, 16, 3, generator=g) * 0.2,
    }


def time_iteration(count: int, width: int, height: int, repeats: int) -> dict[str, float]:
    """Milliseconds of the parts of one training iteration."""
    params = {name: value.requires_grad_() for name, value in synthetic_gaussians(count, width, height).items()}
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in params.items()}
    K = torch.tensor([[float(height), 0, width / 2], [0, float(height), height / 2], [0, 0, 1]])
    camera, background = torch.eye(4), torch.zeros(3)
    target = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(2))

    def forward() -> Tensor:
        return rasterize(params, camera, K, width, height, background=background).color

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


def main(options: Options) -> None:
    """Print the tables."""
    before = torch.get_num_threads()
    print(f"{machine()}; {options.width}x{options.height}, SH degree 3, ms, medians of {options.repeats}\n")
    rows: list[list[object]] = []
    for count in options.counts:
        single: float | None = None
        for threads in options.threads:
            torch.set_num_threads(threads)
            times = time_iteration(count, options.width, options.height, options.repeats)
            single = single or times["iteration"]
            rows.append([count, threads, *times.values(), single / times["iteration"], peak_memory_mb()])
    print(table(["Gaussians", "threads", "forward", "forward + backward", "iteration", "speed-up", "peak MB"], rows))
    if options.levels:
        torch.set_num_threads(max(options.threads))
        chosen, rows = core.simd_level(), []
        for level in core.simd_levels():
            core.set_simd_level(level)
            times = time_iteration(30_000, options.width, options.height, options.repeats)
            rows.append([f"x86-64-{level}" if level.startswith("v") else level, *times.values()])
        core.set_simd_level(chosen)
        print("\n" + table(["SIMD level, 30k", "forward", "forward + backward", "iteration"], rows))
    torch.set_num_threads(before)
