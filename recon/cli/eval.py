"""recon eval"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Eval:
    """Measure a scene against its photos again: metrics.json, renders/test and report.html."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    truth: Path | None = None
    """Capture of the same photos with known cameras, to measure estimated poses against."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print warnings and errors only."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        import json

        from recon.cli.progress import make_listener
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        from recon.io.capture import read_capture
        from recon.pipeline.outputs import evaluate_scene, write_report
        from recon.pipeline.run import headline, refused_writes
        from recon.scene.store import SceneStore

        with make_listener(self.quiet) as listener, refused_writes(out):
            store = SceneStore(out)
            with store.lock():
                scene = store.load()
                truth = None if self.truth is None else read_capture(self.truth).scene.views
                evaluation = evaluate_scene(scene, out, listener, truth)
                try:
                    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    run = {}  # the report then shows less about how the scene was made
                write_report(scene, out, run, evaluation, listener)
        print(headline(evaluation.metrics))
        return 0
