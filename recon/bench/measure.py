"""Times, memory and the name of the machine."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from recon.render.library import core


def median_ms(body: Callable[[], object], repeats: int) -> float:
    """Median wall time of `body` in ms over `repeats` calls, after one call to warm up."""
    body()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def median_device_ms(body: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median time of `body` in ms, after three calls to warm up: on a GPU between CUDA events."""
    if device.type == "cpu":
        return median_ms(body, repeats)
    for _ in range(3):
        body()
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in pairs:
        start.record()
        body()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in pairs)


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


@contextmanager
def peak_growth_mb() -> Iterator[list[float]]:
    """Fills the list with the growth of the resident size, MB, at its largest within the block.

    Linux only, where a process may reset its own peak; NaN elsewhere.
    """
    growth: list[float] = []
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        yield growth
        growth.append(float("nan"))
        return
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)  # memory that was freed earlier and kept would hide the growth
    reset.write_text("5")
    before = _status_mb("VmRSS")
    yield growth
    growth.append(_status_mb("VmHWM") - before)


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def device_name() -> str:
    """The GPU, or what is used without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def machine() -> str:
    """One line: processor, threads, SIMD level, torch, commit."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0] if names else name
    found = commit()
    parts = [name, f"{torch.get_num_threads()} threads", f"SIMD {core.simd_level()}", f"torch {torch.__version__}"]
    return ", ".join([*parts, f"commit {found}"] if found else parts)


def commit() -> str:
    """Short name of the checkout's commit; nothing when this is not a checkout."""
    return subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
