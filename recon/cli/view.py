"""recon view"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class View:
    """Show a scene in the browser (docs/viewer.md). Ctrl-C ends it."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    port: int = 8017
    """Port to listen on; 0 for any free one."""
    host: str = "127.0.0.1"
    """Address to listen on. For more than this machine, such as 0.0.0.0, the page asks for a token."""
    token: str | None = None
    """Secret that the browser must bring. Made up when one is needed and none is given."""
    open: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Open the page in the default browser."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        from recon.viewer.server import ViewerServer, wait_for_interrupt

        server = ViewerServer(out, host=self.host, port=self.port, token=self.token)
        server.start()
        print(f"{out} is shown at {server.address} (Ctrl-C ends)", flush=True)
        if self.open:
            import webbrowser

            webbrowser.open(server.address)
        try:
            wait_for_interrupt()
        finally:
            server.stop()
        return 0
