"""What server and page say to each other. viewer/src/net/messages.ts is generated from this file.

Every message is a JSON object with a literal `type`. Splats of a running optimisation come as binary frames: a
safetensors file with a scene.gltf's attribute names, metadata `frame`, `family` and `iteration`. So do points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval, Len
from pydantic import FiniteFloat


@dataclass(frozen=True)
class Session:
    """Answer to GET api/session."""

    name: str
    """Of the scene folder."""
    files: list[str]
    """Which of the optional files exist, such as metrics.json."""
    live: bool
    """A run is on its way and api/live tells about it."""
    writable: bool
    """What the page saves is kept in the scene folder."""


@dataclass(frozen=True)
class Keyframe:
    """A camera that a path leads through, or that a photo was taken with."""

    world_to_camera: Annotated[list[FiniteFloat], Len(16, 16)]
    """[4, 4] row by row, OpenCV axes."""
    K: Annotated[list[FiniteFloat], Len(9, 9)]
    """[3, 3] row by row, px."""
    width: Annotated[int, Interval(ge=1, le=8192)]
    height: Annotated[int, Interval(ge=1, le=8192)]


@dataclass(frozen=True)
class Saved:
    """What people chose in the page, kept as viewer.json in the scene folder."""

    crop: Annotated[list[FiniteFloat], Len(6, 6)] | None
    """Least x y z, greatest x y z, in the scene's coordinates; null for everything."""
    min_opacity: Annotated[float, Interval(ge=0, le=1)]
    keyframes: Annotated[list[Keyframe], Len(0, 1000)]


@dataclass(frozen=True)
class StageStarted:
    """A stage begins its work."""

    stage: str
    type: Literal["stage_started"] = "stage_started"


@dataclass(frozen=True)
class Progress:
    """How far a stage is; null for what it does not measure."""

    stage: str
    iteration: int
    total: int
    it_per_s: float | None
    eta_s: float | None
    num_primitives: int | None
    loss: float | None
    psnr: float | None
    type: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Warned:
    """Something the user should know and that does not stop the run."""

    stage: str
    message: str
    type: Literal["warned"] = "warned"


@dataclass(frozen=True)
class StageFinished:
    """A stage is published: scene.gltf is another one now."""

    stage: str
    seconds: float
    interrupted: bool
    summary: str
    type: Literal["stage_finished"] = "stage_finished"


@dataclass(frozen=True)
class PhotoPlace:
    """A photo, and where it was taken from."""

    name: str
    split: Literal["train", "test"]
    camera: Keyframe | None
    """null while that is not known. Lens distortion is left out."""
    picture: bool
    """GET api/photos/NAME gives a small picture of it."""


@dataclass(frozen=True)
class Photos:
    """Where photos of the run were taken from, as far as it is known; takes the place of what was said before. Points,
    where there are some, come as a frame of the family "points"."""

    photos: list[PhotoPlace]
    type: Literal["photos"] = "photos"


@dataclass(frozen=True)
class RunState:
    """Whether the run goes on, and what pages have asked of it."""

    state: Literal["running", "paused", "stopping", "ended"]
    end_at: int | None = None
    """Iteration after which the optimisation of splats is to end; null for that of its settings."""
    frame_seconds: float = 1.0
    """Least time between two frames."""
    type: Literal["run_state"] = "run_state"


@dataclass(frozen=True)
class Control:
    """From the page: hold the run, let it go on, or publish what there is and end it."""

    action: Literal["pause", "resume", "stop"]
    type: Literal["control"] = "control"


@dataclass(frozen=True)
class Tune:
    """From the page: what may change while splats are optimised. An earlier end than the settings say is safe: what is
    published then is what an interrupted run publishes."""

    end_at: Annotated[int, Interval(ge=1)] | None
    frame_seconds: Annotated[FiniteFloat, Interval(ge=0.5, le=60)]
    type: Literal["tune"] = "tune"


@dataclass(frozen=True)
class Ack:
    """From the page: the last frame is on the screen, the next one may come."""

    frame: int
    type: Literal["ack"] = "ack"


ToPage = StageStarted | Progress | Warned | Photos | StageFinished | RunState
ToServer = Control | Tune | Ack
