"""recon eval"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.evaluate.surface import Surface


@dataclass(frozen=True)
class Eval:
    """Measure a scene against its photos again: metrics.json, renders/test and report.html."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    truth: Path | None = None
    """Capture of the same photos with known cameras, to measure estimated poses against."""
    surface: Path | None = None
    """Mesh file of the true surface, in the coordinates of the capture, to measure the scene's mesh against."""
    align: Literal["no", "rigid", "similarity"] = "no"
    """Lay the mesh over the surface first, by ICP (needs Open3D): turned and moved, or scaled as well. It must lie near
    already."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print warnings and errors only."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        import json

        from recon.cli.progress import make_listener
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        if self.align != "no" and self.surface is None:
            raise ReconError("--align is about --surface", fix="give the true surface")
        from recon.io.capture import read_capture
        from recon.pipeline.outputs import Truth, evaluate_scene, write_report
        from recon.pipeline.run import headline, refused_writes
        from recon.scene.store import SceneStore

        with make_listener(self.quiet) as listener, refused_writes(out):
            store = SceneStore(out)
            with store.lock():
                scene = store.load()
                truth = Truth(
                    None if self.truth is None else read_capture(self.truth).scene.views,
                    None if self.surface is None else _surface(self.surface),
                    None if self.align == "no" else self.align,
                )
                evaluation = evaluate_scene(scene, out, listener, truth)
                try:
                    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    run = {}  # the report then shows less about how the scene was made
                write_report(scene, out, run, evaluation, listener)
        print(headline(evaluation.metrics))
        return 0


def _surface(path: Path) -> Surface:
    from recon.io.surface import read_mesh

    mesh = read_mesh(path)
    return mesh.vertices.float(), mesh.faces
