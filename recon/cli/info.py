"""recon info"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from recon.scene import Scene


@dataclass(frozen=True)
class Info:
    """Say what the output folder of a run holds."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        from recon.scene.store import SceneStore

        for line in describe(SceneStore(out).load(), out):
            print(line)
        return 0


def describe(scene: Scene, out: Path) -> Iterator[str]:
    """The lines that `recon info` prints."""
    yield f"{out / 'scene.gltf'}"
    train, test = len(scene.split("train")), len(scene.split("test"))
    sizes = sorted({(view.camera.width, view.camera.height) for view in scene.views})
    yield f"views    {train} training, {test} held out; " + ", ".join(f"{w}x{h} px" for w, h in sizes)
    if scene.points is not None:
        yield f"points   {len(scene.points.positions):,}"
    if scene.splats is not None:
        splats = scene.splats
        degree = f", SH degree {splats.sh_degree}" if "sh_coeffs" in splats.params else ""
        yield f"splats   {len(splats):,} of the family {splats.family}{degree}"
    if scene.mesh is not None:
        yield f"mesh     {len(scene.mesh.faces):,} triangles"
    yield f"unit     {'1 m' if scene.metric else 'of the capture'}; cameras within {scene.extent():.3g} of their centre"
    for record in scene.provenance:
        stopped = ", interrupted" if record.info.get("interrupted") else ""
        seconds = record.info.get("seconds")
        took = f", {seconds:.1f} s" if isinstance(seconds, int | float) else ""
        yield f"stage    {record.stage}: stages/{record.folder}{took}{stopped}"
    try:
        metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for split in ("test", "train"):
        if split in metrics:
            yield f"quality  {split}: PSNR {metrics[split]['psnr']:.2f} dB, SSIM {metrics[split]['ssim']:.3f}"
