"""recon run"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from recon.viewer.live import LiveRun


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
    view: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show the run in the browser, splats included while they are optimised (docs/viewer.md). Ctrl-C ends both."""
    port: int = 8017
    """Port of the viewer; 0 for any free one."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.pipeline.config import load_config

        config = load_config(self.scene, self.set)
        from recon.cli.progress import make_listener
        from recon.pipeline.run import run

        with make_listener(self.quiet) as listener, self._viewer(config.output) as viewer:
            result = run(
                config,
                until=self.until,
                resume=self.resume,
                force=self.force,
                listeners=[listener] if viewer is None else [listener, viewer],
                argv=["recon", *argv],
                control=viewer,
            )
        if result.interrupted:
            print("recon: interrupted; published what there is; --resume continues", file=sys.stderr)
            return 130
        return 0

    @contextmanager
    def _viewer(self, out: Path) -> Iterator[LiveRun | None]:
        """With --view, a viewer while the run goes on, and after it until Ctrl-C."""
        if not self.view:
            yield None
            return
        from recon.viewer.live import LiveRun
        from recon.viewer.server import ViewerServer, wait_for_interrupt

        live = LiveRun()
        server = ViewerServer(out, port=self.port, live=live)
        server.start()
        print(f"{out} is shown at {server.address}", file=sys.stderr, flush=True)
        try:
            yield live
            live.end()
            if not live.interrupted:
                print("recon: done; the viewer goes on until Ctrl-C", file=sys.stderr, flush=True)
                wait_for_interrupt()
        finally:
            server.stop()
