"""recon run"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Run:
    """Make a scene from photos, as a scene.yaml says.

    Stages that are published with the same settings and inputs are not made again. Ctrl-C publishes what there is."""

    scene: Annotated[Path, tyro.conf.Positional]
    """The scene.yaml; see docs/config.md."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """Change one value, such as splats.iterations=500. May be given several times."""
    until: Literal["poses", "splats", "mesh"] | None = None
    """Last stage to make. Default: the mesh when the scene.yaml has a section `mesh`, else the splats."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue an interrupted optimisation from its last checkpoint."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Make all stages again."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print warnings and errors only."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.pipeline.config import load_config

        config = load_config(self.scene, self.set)
        from recon.cli.progress import make_listener
        from recon.pipeline.run import run

        with make_listener(self.quiet) as listener:
            result = run(
                config,
                until=self.until,
                resume=self.resume,
                force=self.force,
                listeners=[listener],
                argv=["recon", *argv],
            )
        if result.interrupted:
            print("recon: interrupted; published what there is; --resume continues", file=sys.stderr)
            return 130
        return 0
