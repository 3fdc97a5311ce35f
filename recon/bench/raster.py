"""`recon bench raster`: the rasteriser and a training iteration, by number of Gaussians, threads and SIMD level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.bench.measure import machine, median_ms, peak_memory_mb, table
from recon.errors import ReconError
from recon.geometry import quaternion
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


def synthetic(family: str, count: int, width: int, height: int, seed: int = 0) -> dict[str, Tensor]:
    """Degree-3 primitives spread over the image at depths 2 to 6, focal length = height.

    Gaussians: standard deviations are log-normal around 3 px at 30,000 and shrink with the root of their number, so the
    image stays covered about as often; two axes to one are 3:1 on average. At 30,000 and 270x480 each meets some 34
    rows of 16 px, like the scenes that the published figures were taken on. The other families stand in the same
    places with the same colours, opacities and deviations; what is their own is as after training: exponents around 3,
    triangles that weigh as much as the Gaussian (their integrals agree at sigma = 1.16), hulls of six points on the
    ellipsoid of two deviations.
    """
    g = torch.Generator().manual_seed(seed)
    depth = 2 + 4 * torch.rand(count, generator=g)
    xy = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor([width, height]) / height
    sigma = 3.0 * math.sqrt(30_000 / count) / height * depth
    log_scales = sigma.log()[:, None] + 0.5 * torch.randn(count, 3, generator=g) - torch.tensor([0.0, 0.0, 1.0])
    params = {
        "means": torch.cat([xy * depth[:, None], depth[:, None]], dim=1),
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": log_scales,
        "opacity_logits": torch.randn(count, generator=g) * 1.5 - 0.5,
        "sh_coeffs": torch.randn(count, 16, 3, generator=g) * 0.2,
    }
    axes = quaternion.to_matrix(params["quats"]) * log_scales.exp()[:, None, :]
    if family == "exponential":
        params["shape_logits"] = torch.randn(count, generator=g) * 0.5 - 1.1
    elif family == "surfel":
        params["log_scales"] = log_scales[:, :2].contiguous()
    elif family == "triangle":
        # An equilateral triangle of circumradius R has the area 1.3 R^2, of which sigma = 1.16 leaves 0.29.
        angles = torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3
        corners = 4.05 * torch.stack([angles.cos(), angles.sin()], dim=-1)
        params["vertices"] = params["means"][:, None] + corners @ axes[..., :2].transpose(-1, -2)
        params["log_sigmas"] = torch.full((count,), math.log(1.15))
    elif family == "convex":
        directions = torch.nn.functional.normalize(torch.randn(count, 6, 3, generator=g), dim=-1)
        params["points"] = params["means"][:, None] + 2 * directions @ axes.transpose(-1, -2)
        # Beyond an edge, alpha is lost within about one deviation; corners are rounded a little.
        largest = log_scales.sort(dim=-1).values[:, 1:]
        area = 1000**2 * largest.sum(-1).exp() / depth**2
        params["log_deltas"] = (6 / (area * depth)).log()
        params["log_sigmas"] = (0.5 / depth).log()
    return {name: params[name] for name in (*FAMILIES[family].parameters, "sh_coeffs")}


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


def compare_families(options: Options) -> None:
    """Print milliseconds per family at 30k primitives, and forward + backward relative to the Gaussians'."""
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
    print(table(["family, 30k", "forward", "forward + backward", "iteration", "fwd + bwd / Gaussian"], rows))
    torch.set_num_threads(before)


def main(options: Options) -> None:
    """Print the tables."""
    before = torch.get_num_threads()
    print(f"{machine()}; {options.width}x{options.height}, SH degree 3, ms, medians of {options.repeats}\n")
    if options.families:
        compare_families(options)
        return
    rows: list[list[object]] = []
    for count in options.counts:
        single: float | None = None
        for threads in options.threads:
            torch.set_num_threads(threads)
            times = time_iteration("gaussian", count, options.width, options.height, options.repeats)
            single = single or times["iteration"]
            rows.append([count, threads, *times.values(), single / times["iteration"], peak_memory_mb()])
    print(table(["Gaussians", "threads", "forward", "forward + backward", "iteration", "speed-up", "peak MB"], rows))
    if options.levels:
        torch.set_num_threads(max(options.threads))
        chosen, rows = core.simd_level(), []
        for level in core.simd_levels():
            core.set_simd_level(level)
            times = time_iteration("gaussian", 30_000, options.width, options.height, options.repeats)
            rows.append([f"x86-64-{level}" if level.startswith("v") else level, *times.values()])
        core.set_simd_level(chosen)
        print("\n" + table(["SIMD level, 30k", "forward", "forward + backward", "iteration"], rows))
    torch.set_num_threads(before)
