"""What was saved in the page: reading, checking and using viewer.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.scene import View
from recon.scene.atomic import write_json_atomic
from recon.viewer.messages import Saved

FILE = "viewer.json"


def parse_saved(text: bytes, source: str = "what the page sent") -> Saved:
    """Raises ReconError when `text` is no Saved with finite numbers."""
    try:
        saved: Saved = TypeAdapter(Saved).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(map(str, first["loc"])) or "the whole of it"
        raise ReconError(f"{source}: {place}: {first['msg']}", fix="save it in the viewer again") from None
    return saved


def write_saved(folder: Path, saved: Saved) -> None:
    """Keep it in a scene folder."""
    write_json_atomic(folder / FILE, asdict(saved))


def read_saved(folder: Path) -> Saved:
    """Raises ReconError when nothing was saved."""
    try:
        text = (folder / FILE).read_bytes()
    except OSError as error:
        raise ReconError(
            f"{folder / FILE} cannot be read", found=error.strerror, fix="save a path or a crop in `recon view` first"
        ) from None
    return parse_saved(text, str(folder / FILE))


def crop_of(saved: Saved) -> tuple[float, float, float, float, float, float] | None:
    """The box as `recon.scene.edit.reduced` takes it."""
    if saved.crop is None:
        return None
    x0, y0, z0, x1, y1, z1 = saved.crop
    return x0, y0, z0, x1, y1, z1


def keyframe_views(folder: Path) -> list[View]:
    """The saved keyframes as views. Raises ReconError when there are fewer than two."""
    frames = read_saved(folder).keyframes
    if len(frames) < 2:
        raise ReconError(
            f"{folder / FILE}: a path", found=f"{len(frames)} keyframes", wanted="2 or more",
            fix="add them in `recon view` (key K) and save",
        )  # fmt: skip
    views = []
    for index, frame in enumerate(frames):
        K = torch.tensor(frame.K, dtype=torch.float64).reshape(3, 3)
        pose = torch.tensor(frame.world_to_camera, dtype=torch.float64).reshape(4, 4)
        views.append(View(f"keyframe-{index}", Camera(frame.width, frame.height, K), pose))
    return views
