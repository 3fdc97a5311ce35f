"""What an estimator of poses is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from recon.events import Listener
from recon.io.frames import Skipped
from recon.scene.scene import Scene


@dataclass(frozen=True)
class PoseInput:
    """Photos with their splits. Unless they are posed already, cameras say nothing but the size, and poses nothing."""

    scene: Scene
    seed: int
    """Every random choice follows from it."""
    events: Listener


@dataclass(frozen=True)
class PoseEstimate:
    """What came of it."""

    scene: Scene
    """The views whose cameras are known now, training and held-out ones, in one frame."""
    left_out: tuple[Skipped, ...] = ()
    """The photos whose cameras are not, and why."""
    summary: str = ""
    """A few words for people."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON values for the manifest: the evidence."""


class PoseEstimator(Protocol):
    """One way to cameras. A new one is a file with such a class and one line in `estimators.ESTIMATORS`."""

    name: str

    def estimate(self, given: PoseInput) -> PoseEstimate:
        """Cameras of the training photos, and then, with those frozen, of the held-out ones.

        Raises ReconError when fewer training photos than wanted come together, with advice on what to photograph.
        """
