"""Whole runs of a scene.yaml from nothing, for benchmarks that look at held-out photos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import ReconError
from recon.pipeline.config import load_config
from recon.pipeline.run import run
from recon.scene import Scene


@dataclass(frozen=True)
class Done:
    """What a run made. Its folder is gone after the `with` block."""

    folder: Path
    scene: Scene
    metrics: dict[str, Any]
    """What metrics.json holds."""

    @property
    def test(self) -> dict[str, Any]:
        """Held-out quality: psnr, ssim, views."""
        found: dict[str, Any] = self.metrics["test"]
        return found

    @property
    def info(self) -> dict[str, Any]:
        """The manifest of the splats: optimize_seconds, peak_memory_mb and more."""
        return next(dict(one.info) for one in reversed(self.scene.provenance) if one.stage == "splats")

    @property
    def primitives(self) -> int:
        return len(self.scene.splats or ())


@contextmanager
def fresh_run(path: Path, overrides: Sequence[str], bench: str, folder: Path | None = None) -> Iterator[Done]:
    """Run the scene file `path` with `overrides` in a temporary folder, for `recon bench <bench>`.

    folder: one that is kept instead, where stages that an earlier run made in the same way are not made again.
    Raises KeyboardInterrupt when the run was stopped, and ReconError when nothing was held out: there is nothing to
    measure then.
    """
    place = nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory(prefix="recon-bench-")
    with place as name:
        result = run(load_config(path, [*overrides, f"output={name}"]), argv=["recon", "bench", bench, str(path)])
        if result.interrupted:
            raise KeyboardInterrupt  # what a stopped run reached is no result
        if "test" not in result.metrics:
            raise ReconError(f"{path}: no held-out views to measure", fix="set views.test or views.file")
        yield Done(Path(name), result.scene, result.metrics)
