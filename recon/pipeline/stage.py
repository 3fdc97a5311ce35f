"""What a stage is, and the key that says whether its work is done already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from recon.errors import ReconError
from recon.events import Listener
from recon.scene import Scene

FORMAT = 1
"""Part of every key. Raise it when a stage computes something else from the same settings and inputs."""


@dataclass(frozen=True)
class StageContext:
    """What a stage may use while it works."""

    folder: Path
    """Folder that is published with the stage; photos and the like go here."""
    events: Listener
    should_stop: Callable[[], bool]
    """True once the user wants to stop; a stage that can stop early returns what there is."""
    checkpoints: Path
    """Folder outside of the published ones for states to resume from. Need not exist."""
    resume: bool
    """Continue from `checkpoints` when there is something."""


@dataclass(frozen=True)
class StageOutput:
    """What a stage made."""

    scene: Scene
    summary: str
    """A few words for people."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON values for the manifest."""
    interrupted: bool = False
    """True when the stage stopped early: the result is published and the work is not done."""


class Stage(Protocol):
    """One step of the chain. A new stage is a file with such a class and one line in `run.stages_of`."""

    name: str
    """Name in the scene's provenance, such as "poses"."""
    settings: Mapping[str, Any]
    """The part of the configuration that the stage looks at, as JSON values."""

    def key(self, scene: Scene) -> str:
        """Hash of settings and of the contents of all inputs: equal keys, equal results."""

    def make(self, scene: Scene, context: StageContext) -> StageOutput:
        """Do the work. `scene` is what the stage before published; raises ReconError for mistakes in the input."""


def artifact_key(stage: str, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """SHA-256, hex, of a stage's name, settings and inputs (contents or hashes of them, never paths)."""
    text = json.dumps([FORMAT, stage, settings, inputs], sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256, hex, of a file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ReconError(f"{path}: cannot be read", found=error.strerror, fix="check the file and its rights") from None
