"""Folders that are there whole or not at all, and the photos of a scene in them."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.files import shorten, unreadable
from recon.scene import Scene, View

PHOTOS, MASKS = "images", "masks"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that gets its name when the block ends without an error."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ReconError(f"{path}: is there already", wanted="a new or an empty folder", fix="choose another with --to")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_photos(scene: Scene, folder: Path) -> dict[str, tuple[str, str | None]]:
    """Copy photos and masks of all views. Returns their paths below `folder` by view name; views without a photo are
    left out."""
    names: dict[str, tuple[str, str | None]] = {}
    for view in scene.views:
        if view.photo is None:
            continue
        name = str(Path(view.name).with_suffix(view.photo.path.suffix))
        mask = None
        _copy(view.photo.path, folder / PHOTOS / name)
        if view.photo.mask is not None:
            mask = f"{MASKS}/{name}.png"
            _copy(view.photo.mask, folder / mask)
        names[view.name] = (f"{PHOTOS}/{name}", mask)
    if not names:
        raise ReconError("the scene has no photos to write", fix="export --format ply or glb")
    twice = [name for name, count in Counter(photo for photo, _ in names.values()).items() if count > 1]
    if twice:
        raise ReconError("views whose photos would have one name", found=shorten(twice))
    return names


def opengl_pose(view: View) -> np.ndarray:
    """[4, 4] float64 camera to world whose camera looks down -z with y up."""
    pose = np.linalg.inv(view.world_to_camera.double().numpy())
    pose[:3, 1:3] *= -1
    return pose


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with source.open("rb"):
            pass
    except OSError as error:
        raise unreadable(source, error) from None
    shutil.copyfile(source, target)
