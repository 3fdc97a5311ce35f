"""`python -m recon.bench.gpu`: on a machine with a GPU, build the CUDA half, run its tests and time it, in one call.

Times forward and forward + backward of every family at 1920x1080, and Gaussians against gsplat where that is installed:
the same inputs, pictures compared before anything is timed, CUDA events, medians of one run. Writes Markdown and JSON.
Needs the project's folder (for the build and the tests) as the working directory.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from recon.bench.measure import machine, table
from recon.bench.raster import synthetic
from recon.errors import ReconError
from recon.render.families import FAMILIES
from recon.render.rasterize import rasterize

WIDTH, HEIGHT = 1920, 1080


@dataclass(frozen=True)
class Options:
    """Build, check and time the CUDA half."""

    out: Path = Path("out/gpu")
    """Folder for gpu.md and gpu.json."""
    counts: tuple[int, ...] = (100_000, 1_000_000, 3_000_000)
    """Numbers of primitives."""
    repeats: int = 30
    """Timed repetitions; the median counts."""
    tests: bool = True
    """Run the tests that are marked gpu first."""


def main(options: Options) -> None:
    """Print and write the tables."""
    if not torch.cuda.is_available():
        raise ReconError("no GPU to measure", found="torch sees no CUDA device")
    if importlib.util.find_spec("recon._cuda") is None:
        define = "--config-settings=cmake.define.RECON_CUDA=ON"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", define, "."], check=True
        )
        sys.exit(subprocess.run([sys.executable, "-m", "recon.bench.gpu", *sys.argv[1:]], check=False).returncode)
    if options.tests:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"], check=True)
    rows = [measure(name, count, options.repeats) for count in options.counts for name in FAMILIES]
    if importlib.util.find_spec("gsplat") is not None:
        rows += [against_gsplat(count, options.repeats) for count in options.counts]
    header = (
        f"{torch.cuda.get_device_name()}, {machine()}; {WIDTH}x{HEIGHT}, SH degree 3, medians of {options.repeats}, ms"
    )
    columns = ["what", "primitives", "forward", "forward + backward", "peak MB"]
    text = f"{header}\n\n" + table(columns, [[row[column] for column in columns] for row in rows]) + "\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.md").write_text(text)
    (options.out / "gpu.json").write_text(json.dumps({"machine": header, "rows": rows}, indent=1) + "\n")
    print(text)


def scene(family: str, count: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Parameters that want gradients, the pose and the intrinsics, on the GPU."""
    params = {name: value.cuda().requires_grad_() for name, value in synthetic(family, count, WIDTH, HEIGHT).items()}
    K = torch.tensor([[float(HEIGHT), 0, WIDTH / 2], [0, float(HEIGHT), HEIGHT / 2], [0, 0, 1]]).cuda()
    return params, torch.eye(4).cuda(), K


def timed(draw: Callable[[], Tensor], params: dict[str, Tensor], repeats: int) -> dict[str, float]:
    """Median ms by CUDA events, and the peak of torch's memory in MB."""
    direction = torch.randn(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(2)).cuda()

    def both() -> None:
        for value in params.values():
            value.grad = None
        torch.autograd.backward(draw(), direction)

    def forward() -> None:
        with torch.no_grad():
            draw()

    torch.cuda.reset_peak_memory_stats()
    found = {"forward": median_event_ms(forward, repeats), "forward + backward": median_event_ms(both, repeats)}
    return {**found, "peak MB": torch.cuda.max_memory_allocated() / 1e6}


def median_event_ms(body: Callable[[], None], repeats: int) -> float:
    """Median time of `body` on the device, after three calls to warm up."""
    for _ in range(3):
        body()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in events:
        start.record()
        body()
        end.record()
    torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) for start, end in events)[repeats // 2]


def measure(family: str, count: int, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    params, camera, K = scene(family, count)
    draw = lambda: rasterize(params, camera, K, WIDTH, HEIGHT, family=family).color  # noqa: E731
    return {"what": family, "primitives": count, **timed(draw, params, repeats)}


def against_gsplat(count: int, repeats: int) -> dict[str, Any]:
    """gsplat on the Gaussians of `measure`, once both pictures are seen to agree."""
    from gsplat import rasterization

    params, camera, K = scene("gaussian", count)

    def draw() -> Tensor:
        colors, _, _ = rasterization(
            params["means"], params["quats"], params["log_scales"].exp(), params["opacity_logits"].sigmoid(),
            params["sh_coeffs"], camera[None], K[None], WIDTH, HEIGHT, sh_degree=3, packed=False,
        )  # fmt: skip
        return colors[0]

    with torch.no_grad():
        error = (rasterize(params, camera, K, WIDTH, HEIGHT).color - draw()).abs()
    # gsplat bounds footprints at 3.33 deviations; both stop at an alpha of 1/255: a few pixels differ by about that.
    share = float((error.amax(-1) > 0.02).float().mean())
    if share > 0.01:
        raise ReconError(
            "the pictures of recon and gsplat differ", found=f"{share:.1%} of the pixels by more than 0.02"
        )
    return {"what": "gsplat", "primitives": count, **timed(draw, params, repeats)}


if __name__ == "__main__":
    main(tyro.cli(Options))
