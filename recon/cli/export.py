"""recon export"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.scene import Scene, Splats


def _splats(scene: Scene) -> Splats:
    if scene.splats is None:
        raise ReconError("the scene has no splats yet", fix="run `recon run` on its scene.yaml without --until poses")
    return scene.splats


def _ply(scene: Scene, path: Path) -> None:
    from recon.io.ply import write_splats

    write_splats(path, _splats(scene))


def _gaussians(scene: Scene, path: Path) -> None:
    from recon.io.ply import write_splats
    from recon.io.surface import as_gaussians

    write_splats(path, as_gaussians(_splats(scene)))


def _mesh(scene: Scene, path: Path) -> None:
    from recon.io.surface import triangles_as_mesh, write_mesh

    write_mesh(path, triangles_as_mesh(_splats(scene)))


def _points(scene: Scene, path: Path) -> None:
    from recon.io.ply import write_points

    if scene.points is None:
        raise ReconError("the scene has no points", fix="export --format ply, or use photos with more texture")
    write_points(path, scene.points)


FORMATS: dict[str, tuple[str, Callable[[Scene, Path], None]]] = {
    "ply": ("splats.ply", _ply),
    "gaussians": ("gaussians.ply", _gaussians),
    "mesh": ("mesh.glb", _mesh),
    "points": ("points.ply", _points),
}
"""Name on the command line: file name by default, and what writes it. A new format is a line here and in `Export`."""


@dataclass(frozen=True)
class Export:
    """Write a scene's content in a format of other programs."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    format: Literal["ply", "gaussians", "mesh", "points"] = "ply"
    """`ply`: the splats, Gaussians in the layout that splat viewers read; `gaussians`: surfels and exponentials as
    Gaussians, for those viewers; `mesh`: opaque triangles as a coloured mesh; `points`: where the splats started."""
    to: Path | None = None
    """File to write; for a mesh its suffix chooses the format. Default: exports/ in the run's folder."""

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
