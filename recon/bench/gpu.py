"""`python -m recon.bench.gpu`: on a machine with a GPU, build the CUDA half, run its tests and time it, in one call.

Times forward and forward + backward of every family at 1920x1080, Gaussians against gsplat where that is installed (see
recon/bench/against.py), and runs the demo on both devices. CUDA events, medians of one run. Writes Markdown and JSON.
Needs the project's folder (for the build and the tests) as the working directory.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from recon.bench.against import HEIGHT, WIDTH, against_gsplat
from recon.bench.measure import device_name, machine, median_device_ms
from recon.bench.report import Report
from recon.bench.scenes import synthetic
from recon.errors import ReconError
from recon.pipeline.config import load_config
from recon.pipeline.run import run
from recon.render.families import FAMILIES
from recon.render.rasterize import rasterize


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
    """Run the tests that are marked cuda first."""


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
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "cuda", "tests/gpu"], check=True)
    report = Report(f"{device_name()}, {machine()}; {WIDTH}x{HEIGHT}, SH degree 3, medians of {options.repeats}, ms")
    rows = [measure(name, count, options.repeats) for count in options.counts for name in FAMILIES]
    report.add(["family", "primitives", "forward", "forward + backward", "peak MB"], rows, "Families")
    if importlib.util.find_spec("gsplat") is not None:
        against_gsplat(report, options.repeats)
    report.add(["device", "family", "held-out PSNR dB", "SSIM", "optimisation s"], train(), "Training on the demo")
    report.write(options.out, "gpu")


def train() -> list[list[object]]:
    """Quality and time of the demo's runs, on the GPU and on the CPU."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
        capture = f"{folder}/capture"
        subprocess.run([sys.executable, "-m", "recon_datasets", "table", "--out", capture], check=True)
        for device, family in [*(("cuda", name) for name in FAMILIES), ("cpu", "gaussian")]:
            overrides = [f"output={folder}/{device}-{family}", f"images={capture}", f"views.file={capture}/splits.json",
                         f"splats.device={device}", f"splats.primitive={family}"]  # fmt: skip
            result = run(load_config(Path("configs/examples/demo.yaml"), overrides), argv=["recon.bench.gpu"])
            test, info = result.metrics["test"], result.scene.provenance[-1].info
            rows.append([device, family, test["psnr"], test["ssim"], info["optimize_seconds"]])
    return rows


def scene(family: str, count: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Parameters that want gradients, the pose and the intrinsics, on the GPU."""
    params = {name: value.cuda().requires_grad_() for name, value in synthetic(family, count, WIDTH, HEIGHT).items()}
    K = torch.tensor([[float(HEIGHT), 0, WIDTH / 2], [0, float(HEIGHT), HEIGHT / 2], [0, 0, 1]]).cuda()
    return params, torch.eye(4).cuda(), K


def measure(family: str, count: int, repeats: int) -> list[object]:
    """One row of the table: median ms by CUDA events, and the peak of torch's memory in MB."""
    params, camera, K = scene(family, count)
    direction = torch.randn(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(2)).cuda()
    device = torch.device("cuda")

    def draw() -> Tensor:
        return rasterize(params, camera, K, WIDTH, HEIGHT, family=family).color

    def both() -> None:
        for value in params.values():
            value.grad = None
        torch.autograd.backward(draw(), direction)

    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        forward = median_device_ms(draw, repeats, device)
    return [family, count, forward, median_device_ms(both, repeats, device), torch.cuda.max_memory_allocated() / 1e6]


if __name__ == "__main__":
    main(tyro.cli(Options))
