"""recon render"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from recon.evaluate.renderer import SplatRenderer
    from recon.scene import Scene, View


@dataclass(frozen=True)
class Render:
    """Render a scene's own views to PNG files, or a camera path to PNG files or an MP4 video."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    views: Literal["train", "test", "all"] | None = None
    """Whose cameras to use: as they are, or, with --path, to lead the path. Default: test alone, all with --path."""
    path: Literal["orbit", "between", "saved"] | None = None
    """`orbit`: around what the cameras look at; `between`: through the cameras in order; `saved`: through the
    keyframes that were saved in the viewer."""
    frames: int = 120
    """Number of frames of a path."""
    fps: float = 30.0
    """Frames per second of a video."""
    scale: float = 1.0
    """Multiplies width and height of the pictures."""
    to: Path | None = None
    """Folder for PNG files, or a file that ends in .mp4. Default: renders/SPLIT or renders/PATH.mp4 of the run."""
    repair: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let the run's priors repair the pictures where the scene is unsure (docs/priors.md)."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print warnings and errors only."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.cli.progress import make_listener
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        if not 0 < self.scale <= 16:
            raise ReconError("--scale", found=self.scale, wanted="a number above 0 and at most 16")
        from recon.evaluate.charts import to_bytes
        from recon.evaluate.renderer import SplatRenderer
        from recon.events import FileWritten, Progress
        from recon.io.decode import write_png
        from recon.io.video import write_video
        from recon.pipeline.run import refused_writes
        from recon.scene.store import SceneStore

        scene = SceneStore(out).load()
        renderer = SplatRenderer.of(scene)
        which = self.views or ("all" if self.path else "test")
        views = [self._scaled(view) for view in self._cameras(list(scene.views), which)]
        target = self.to or out / "renders" / (f"{self.path}.mp4" if self.path else which)
        video = target.suffix.lower() == ".mp4"
        with make_listener(self.quiet) as listener, refused_writes(target):
            rendered = self._repaired(scene, renderer, views) if self.repair else map(renderer, views)

            def pictures() -> Iterator[np.ndarray]:
                for done, picture in enumerate(rendered, 1):
                    yield to_bytes(picture)
                    listener(Progress("render", done, len(views)))

            if video:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_video(target, pictures(), self.fps)
            else:
                for view, picture in zip(views, pictures(), strict=True):
                    write_png(target / Path(view.name).with_suffix(".png"), picture)
            listener(FileWritten(str(target)))
        return 0

    def _repaired(self, scene: Scene, renderer: SplatRenderer, views: list[View]) -> Iterator[Tensor]:
        """Renders repaired by the priors of the run."""
        from recon.evaluate.repair import Repairer
        from recon.scene.folder import output_folder

        repairer = Repairer.of(scene, output_folder(self.out), renderer)
        if repairer is None:
            raise ReconError(
                f"{self.out}: --repair", found="a run without priors that repair", wanted="some in splats.priors",
                fix="run it again with them, or render without --repair",
            )  # fmt: skip
        return repairer.along(views)

    def _cameras(self, views: list[View], which: str) -> list[View]:
        """The scene's own views or the frames of the path that they lead."""
        from recon.scene.camera_path import between, orbit
        from recon.scene.folder import output_folder

        if self.path == "saved":
            from recon.viewer.saved import keyframe_views

            return between(keyframe_views(output_folder(self.out)), self.frames)
        chosen = [view for view in views if which in ("all", view.split)]
        if not chosen:
            raise ReconError(
                f"{self.out}: the scene has no {which} views",
                found=f"{len(views)} views in all",
                fix="use --views train" if which == "test" else "use --views all",
            )
        if self.path is None:
            return chosen
        return (orbit if self.path == "orbit" else between)(chosen, self.frames)

    def _scaled(self, view: View) -> View:
        camera = view.camera
        width, height = (max(1, round(side * self.scale)) for side in (camera.width, camera.height))
        return replace(view, camera=camera.resized(width, height))
