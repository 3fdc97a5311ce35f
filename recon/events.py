"""What a running stage says about itself. The command line, a viewer and a plugin listen to one stream.

Lives beside `errors.py` and `config.py` because stages send events and must not import the pipeline that runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class StageStarted:
    """A stage begins its work."""

    stage: str
    """Stage name such as "poses" or "splats"."""
    total: int | None = None
    """Number of steps to come, where the stage knows it."""


@dataclass(frozen=True)
class Progress:
    """How far a stage is. What a stage does not measure stays None."""

    stage: str
    iteration: int
    """Steps done so far, the last one included."""
    total: int
    """Steps in all."""
    it_per_s: float | None = None
    """Steps per second, smoothed."""
    eta_s: float | None = None
    """Seconds left, an estimate."""
    num_primitives: int | None = None
    loss: float | None = None
    """Training loss of the latest step or its running mean."""
    psnr: float | None = None
    """PSNR on training photos, dB, running mean."""


@dataclass(frozen=True)
class PhotosPlaced:
    """Where photos were taken from is known as far as `snapshot` says; what comes later takes its place."""

    stage: str
    photos: Sequence[Any]
    """`recon.scene.View`s, all that are to find a place; their cameras and poses may mean nothing yet."""
    snapshot: Callable[[], Any]
    """Makes a `recon.scene.Scene` of those that have one, with points where some are known. For listeners, while they
    handle the event."""


@dataclass(frozen=True)
class SplatsMoved:
    """Splats that are being optimised have changed. Comes with each `Progress` of theirs, costs nothing by itself."""

    stage: str
    iteration: int
    """Steps done so far."""
    snapshot: Callable[[], Any]
    """Copies them: a `recon.scene.Splats` on the CPU, as the stage would publish it now. For listeners, while they
    handle the event; the time that it takes is the optimisation's."""


@dataclass(frozen=True)
class StageWarning:
    """Something the user should know and that does not stop the run."""

    stage: str
    message: str


@dataclass(frozen=True)
class StageFinished:
    """A stage is done: its result is published."""

    stage: str
    seconds: float
    """Wall time."""
    reused: bool = False
    """True when a published result with the same configuration and inputs was taken instead of working."""
    interrupted: bool = False
    """True when the user stopped the stage and what there was has been published."""
    summary: str = ""
    """A few words for people: "9 training and 7 test views, 4312 points"."""


@dataclass(frozen=True)
class FileWritten:
    """A file outside the stage folders is ready to be opened."""

    path: str


Event = StageStarted | Progress | PhotosPlaced | SplatsMoved | StageWarning | StageFinished | FileWritten


class Listener(Protocol):
    """Anything that can be called with an event. It must return quickly and must not raise."""

    def __call__(self, event: Event, /) -> None: ...


def ignore(event: Event, /) -> None:
    """The listener that does not listen."""
