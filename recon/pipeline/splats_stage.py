"""Stage 2: cameras and points to optimised splats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.errors import ReconError
from recon.evaluate.repair import LEARNT
from recon.events import StageWarning
from recon.pipeline.config import RunConfig, to_plain
from recon.pipeline.stage import StageContext, StageOutput, artifact_key
from recon.scene import Scene
from recon.splats.checkpoint import FILE_NAME, fingerprint
from recon.splats.optimize import optimize

HISTORY = "history.json"
"""Curves of the optimisation, in the stage's folder."""


class SplatsStage:
    """Fits splats to the training views."""

    name = "splats"

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        plain = to_plain(config)
        self.settings: Mapping[str, Any] = {
            "splats": plain["splats"],
            "refine_poses": plain["poses"]["refine"],
            "seed": plain["seed"],
        }

    def key(self, scene: Scene) -> str:
        """Hash of settings and of the poses stage's key, which stands for everything that the stage reads."""
        # Not of `settings`: how often to report and to save a checkpoint makes no difference to the result.
        refine = self._refines(scene)
        course = fingerprint(self.config.splats, scene.split("train"), self.config.seed, refine)
        return artifact_key(self.name, {"course": course}, {"poses": record_of(scene, "poses").key})

    def _refines(self, scene: Scene) -> bool:
        """Whether the cameras are corrected: as asked, else when they were estimated."""
        asked = self.config.poses.refine
        return poses_were_estimated(scene) if asked is None else asked

    def make(self, scene: Scene, context: StageContext) -> StageOutput:
        """Optimise; when stopped early the splats so far are the result and a checkpoint is left."""
        saved = (context.checkpoints / FILE_NAME).is_file()
        if context.resume and not saved:
            context.events(StageWarning(self.name, "there is no checkpoint to resume from: starting at iteration 0"))
        if saved and not context.resume:
            context.events(StageWarning(self.name, "starting anew; --resume would continue from the last checkpoint"))
        background = background_of(scene)
        result = optimize(
            scene,
            self.config.splats,
            seed=self.config.seed,
            events=context.events,
            checkpoint_dir=context.checkpoints,
            resume_from=context.checkpoints if context.resume and saved else None,
            background=background,
            should_stop=context.should_stop,
            refine_poses=self._refines(scene),
        )
        (context.folder / HISTORY).write_text(json.dumps(result.history), encoding="utf-8")
        if result.learnt:
            from safetensors.torch import save_file

            save_file({name: value.contiguous() for name, value in result.learnt.items()}, context.folder / LEARNT)
        splats = result.scene.splats
        assert splats is not None
        return StageOutput(
            result.scene,
            f"{len(splats):,} splats after {result.iterations:,} of {self.config.splats.iterations:,} iterations",
            {
                "num_primitives": len(splats),
                "iterations": result.iterations,
                "optimize_seconds": round(result.seconds, 3),
                "antialias": self.config.splats.antialias,
                "coverage": self.config.splats.loss.covers(background),
            },
            result.interrupted,
        )


def record_of(scene: Scene, stage: str) -> Any:
    """The provenance record of a stage; a ReconError when the scene has none."""
    for record in reversed(scene.provenance):
        if record.stage == stage:
            return record
    raise ReconError(f"the scene has no {stage} stage", fix="run `recon run` on its scene.yaml")


def poses_were_estimated(scene: Scene) -> bool:
    """Whether the cameras come from the photos rather than with them."""
    return record_of(scene, "poses").info.get("poses", {}).get("method", "known") != "known"


def background_of(scene: Scene) -> tuple[float, float, float] | None:
    """Colour behind the capture, None when it fills its photos."""
    color = record_of(scene, "poses").info.get("background")
    return None if color is None else (float(color[0]), float(color[1]), float(color[2]))


def read_history(folder: Path) -> list[dict[str, float]]:
    """Curves of a published splats stage; none when the file is not there."""
    try:
        rows: list[dict[str, float]] = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return rows
