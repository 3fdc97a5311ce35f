"""recon export"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.scene import Scene


def _ply(scene: Scene, path: Path) -> None:
    from recon.io.ply import write_splats

    if scene.splats is None:
        raise ReconError("the scene has no splats yet", fix="run `recon run` on its scene.yaml without --until poses")
    write_splats(path, scene.splats)


def _points(scene: Scene, path: Path) -> None:
    from recon.io.ply import write_points

    if scene.points is None:
        raise ReconError("the scene has no points", fix="export --format ply, or use photos with more texture")
    write_points(path, scene.points)


FORMATS: dict[str, tuple[str, Callable[[Scene, Path], None]]] = {
    "ply": ("splats.ply", _ply),
    "points": ("points.ply", _points),
}
"""Name on the command line: file name by default, and what writes it. A new format is a line here and in `Export`."""


@dataclass(frozen=True)
class Export:
    """Write a scene's content in a format of other programs."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    format: Literal["ply", "points"] = "ply"
    """`ply`: Gaussians in the layout that splat viewers read; `points`: the coloured points that they started from."""
    to: Path | None = None
    """File to write. Default: exports/ in the run's folder."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.cli.folder import output_folder

        out = output_folder(self.out)
        from recon.pipeline.run import refused_writes
        from recon.scene.store import SceneStore

        name, write = FORMATS[self.format]
        path = self.to or out / "exports" / name
        scene = SceneStore(out).load()
        with refused_writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(scene, path)
        print(path)
        return 0
