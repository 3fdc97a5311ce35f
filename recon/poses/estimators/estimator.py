"""What an estimator of poses is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from recon.errors import ReconError
from recon.events import Listener, PhotosPlaced
from recon.io.frames import Skipped
from recon.scene.nodes import View
from recon.scene.scene import Scene


@dataclass(frozen=True)
class PoseInput:
    """Photos with their splits. Unless they are posed already, cameras say nothing but the size, and poses nothing."""

    scene: Scene
    seed: int
    """Every random choice follows from it."""
    events: Listener

    def training(self) -> tuple[View, ...]:
        """The training views. Raises ReconError when they are too few to be compared."""
        views = tuple(self.scene.split("train"))
        if len(views) < 2:
            raise ReconError(
                "poses cannot be estimated", found=f"{len(views)} training photo(s)", wanted="at least 2",
                fix="add photos or hold out fewer",
            )  # fmt: skip
        return views

    def placed(self, snapshot: Callable[[], Scene]) -> None:
        """Tell who watches where photos seem to have been taken from, before that is certain."""
        self.events(PhotosPlaced("poses", self.scene.views, snapshot))

    def in_order(self, views: Sequence[View]) -> tuple[View, ...]:
        """`views`, which are some of the scene's, in its order."""
        place = {view.name: index for index, view in enumerate(self.scene.views)}
        return tuple(sorted(views, key=lambda view: place[view.name]))


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
    advice: str = ""
    """What would bring in the photos that are left out, lines for people; "" where nothing is known of it."""


class PoseEstimator(Protocol):
    """One way to cameras. A new one is a file with such a class and one line in `estimators.ESTIMATORS`."""

    name: str

    def estimate(self, given: PoseInput) -> PoseEstimate:
        """Cameras of the training photos, and then, with those frozen, of the held-out ones.

        Raises ReconError when fewer training photos than wanted come together, with advice on what to photograph.
        """
