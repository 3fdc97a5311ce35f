"""`recon bench imports`: what memory `recon import` takes for a large scene, format by format."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from recon.bench.formats import INSTALLED
from recon.bench.report import Report
from recon.errors import ReconError
from recon.io.formats import FORMATS
from recon.scene import Node, Scene, Splats

_TEXT = "usda"
"""USD as text, which is its library's to parse."""
_FEW = 40
"""Splats of the import before, which loads what every import needs."""


@dataclass(frozen=True)
class Options:
    """Write random Gaussians in every format and import them, each in a process of its own."""

    splats: int = 3_000_000
    """How many."""
    sh_degree: Literal[0, 1, 2, 3] = 3
    """Of their harmonics. Without any, a temporary copy of some numbers weighs more."""
    formats: tuple[str, ...] = INSTALLED
    """Formats to import; `usda` is USD as text."""
    drop_outliers: float | None = None
    """As for `recon import`."""
    folder: Path | None = None
    """For the files, some gigabytes; a temporary one by default."""
    out: Path | None = None
    """Folder for the table as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the table, row by row."""
    unknown = [name for name in options.formats if name not in (*INSTALLED, _TEXT)]
    if unknown:
        raise ReconError("formats to import", found=unknown, wanted=", ".join((*INSTALLED, _TEXT)))
    extra = () if options.drop_outliers is None else ("--drop-outliers", str(options.drop_outliers))
    report = Report(f"{options.splats:,} Gaussians, harmonics of degree {options.sh_degree}")
    rows: list[list[object]] = []
    for name in options.formats:
        degree = 0 if name == "splat" else options.sh_degree
        memory = options.splats * 4 * (11 + 3 * (degree + 1) ** 2) / 1e6
        with tempfile.TemporaryDirectory(prefix="recon-bench-", dir=options.folder) as folder:
            files = []
            for part, count in (("small", _FEW), ("large", options.splats)):
                place = Path(folder) / part
                place.mkdir()
                files.append(place / ("scene.usda" if name == _TEXT else FORMATS[name].file))
                scene = Scene(nodes=(Node("splats", _random(count, options.sh_degree)),))
                FORMATS["usd" if name == _TEXT else name].write(scene, files[-1])
            begin = time.perf_counter()
            peak, size = grown_mb(files[0], files[1], Path(folder), extra), files[1].stat().st_size / 1e6
            rows.append([name, size, memory, peak, peak / size, peak / memory, time.perf_counter() - begin])
            print(" ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in rows[-1]), flush=True)
    report.add(["format", "file MB", "in memory MB", "most MB", "of the file", "of the splats", "s"], rows)
    report.write(options.out, "imports")


_IMPORT_TWICE = """
import sys
from recon.bench.measure import peak_growth_mb
from recon.cli.main import main
small, large, folder, *options = sys.argv[1:]
for file, name in ((small, "imported-small"), (large, "imported-large")):
    with peak_growth_mb() as growth:
        assert main(["import", file, "--out", f"{folder}/{name}", "--quiet", *options]) == 0
print(growth[0] * 2**20 / 1e6)
"""


def grown_mb(small: Path, large: Path, folder: Path, options: Sequence[str] = ()) -> float:
    """What a process that has imported `small` needs at its peak to import `large`, MB; results go below `folder`."""
    argv = [sys.executable, "-c", _IMPORT_TWICE, *map(str, (small, large, folder)), *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])


def _random(count: int, degree: int) -> Splats:
    """Gaussians without any order, which compresses badly; their sizes are those of a scene's."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=random)

    harmonics = normal((degree + 1) ** 2, 3).mul_(0.2)
    return Splats(
        "gaussian",
        {"means": normal(3), "quats": normal(4), "log_scales": normal(3) - 5, "opacity_logits": normal(),
         "sh_coeffs": harmonics},
    )  # fmt: skip
