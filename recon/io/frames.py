"""From what a camera file says about each photo to a `Capture`: the part that all formats share."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.io.exif import PhotoHeader, read_header
from recon.io.files import natural_key, shorten
from recon.io.images import fits_as_stored, size_error
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet
from recon.scene import Node, Photo, Points, Scene, View
from recon.scene.nodes import Split

MIN_VIEWS = 2
"""Fewer posed photos say nothing about depth."""

POINTS_NODE = "points"
"""Id of the node that holds the point cloud of a capture."""


@dataclass(frozen=True)
class Skipped:
    """A frame or photo that did not become a view."""

    name: str
    """Path as the camera file lists it, or the photo's file name."""
    reason: str
    """Why, in a few words."""


@dataclass(frozen=True)
class Capture:
    """Photos, mostly with known cameras, as read."""

    scene: Scene
    """Views in natural name order with source photos and lenses; points if the source has them."""
    background: tuple[float, float, float] | None = None
    """Colour behind transparent pixels, sRGB in [0, 1], where the format fixes one."""
    skipped: tuple[Skipped, ...] = ()
    """What the source lists or the folder holds and the scene lacks."""
    posed: bool = True
    """False when the photos came without cameras: poses say nothing then, and of the lenses only the size counts."""


class Reader(Protocol):
    """One capture format. A new one is a new file with such an object and one line in `capture.READERS`."""

    name: str
    """The format, as messages call it."""
    looks_for: str
    """The files that give it away."""

    def find(self, place: Path) -> Path | None:
        """The camera file or folder of this format at `place` (a file or a folder), None when there is none."""

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        """Read what `find` returned."""


@dataclass(frozen=True)
class Frame:
    """One entry of a camera file."""

    where: str
    """File and entry, the start of every message."""
    listed: str
    """The photo as the file names it."""
    photo: Path | None
    """The photo, None when it is missing."""
    intrinsics: Intrinsics
    """Lens."""
    world_to_camera: np.ndarray
    """[4, 4] float64, OpenCV axes, rigid."""
    split: Split = "train"
    """As the format says, else "train"."""
    mask: Path | None = None
    """As the format says."""


@dataclass(frozen=True)
class CaptureParts:
    """What a reader hands to `assemble` beside its frames."""

    points: Points | None = None
    background: tuple[float, float, float] | None = None
    source_from_world: np.ndarray = field(default_factory=lambda: np.eye(4))
    metric: bool = False


def assemble(
    source: Path, frames: Sequence[Frame], photos: PhotoSet, masks: MaskFolder | None, parts: CaptureParts
) -> Capture:
    """Check the frames against their photos' headers, name them and put them in order."""
    if not frames:
        raise ReconError(f"{source}: lists no frames", wanted="at least one photo with a pose", fix="export it again")
    _refuse_repeats(source, frames)
    present = [(frame, frame.photo) for frame in frames if frame.photo is not None]
    if not present:
        raise ReconError(
            f"{source}: none of the {len(frames)} photos that it lists is in {photos.where}",
            found=f"no {frames[0].listed}",
            fix="set images to the folder that holds them",
        )
    if len(present) < MIN_VIEWS:
        raise ReconError(
            f"{source}: too few photos",
            found=f"{len(present)} of {len(frames)} listed",
            wanted=f"at least {MIN_VIEWS}",
            fix="add the photos that are missing",
        )
    mask_of = masks.for_all(photo for _, photo in present) if masks else {}
    names = view_names(str(source), [photo for _, photo in present])
    sizes_of: dict[int, tuple[tuple[int, int], str]] = {}
    views = []
    for name, (frame, photo) in zip(names, present, strict=True):
        header = read_header(photo)
        camera = _camera(frame, photo, header)
        _refuse_mixed_sizes(frame, header, sizes_of)
        pose = torch.from_numpy(np.ascontiguousarray(frame.world_to_camera, dtype=np.float64))
        views.append(View(name, camera, pose, Photo(photo, mask_of.get(photo, frame.mask)), frame.split))
    views.sort(key=lambda view: natural_key(view.name))
    nodes = (Node(POINTS_NODE, parts.points, kind="scene"),) if parts.points is not None else ()
    scene = Scene(tuple(views), nodes, metric=parts.metric, source_from_world=torch.from_numpy(parts.source_from_world))
    return Capture(scene, parts.background, _skipped(source, frames, photos))


def _skipped(source: Path, frames: Sequence[Frame], photos: PhotoSet) -> tuple[Skipped, ...]:
    missing = [Skipped(frame.listed, "its photo is missing") for frame in frames if frame.photo is None]
    used = {frame.photo.resolve() for frame in frames if frame.photo is not None}
    spare = [path for path in photos.files if path.resolve() not in used]
    return (*missing, *(Skipped(path.name, f"{source.name} has no pose for it") for path in spare))


def _refuse_repeats(source: Path, frames: Sequence[Frame]) -> None:
    """Two frames for one photo: one of the two poses is wrong, and which one nobody can tell."""
    keys = [str(frame.photo.resolve()) if frame.photo else frame.listed for frame in frames]
    counts = Counter(keys)
    twice = [frame.listed for frame, key in zip(frames, keys, strict=True) if counts[key] > 1]
    if twice:
        raise ReconError(
            f"{source}: duplicate frames", found=f"more than one for {shorten(twice)}", fix="keep one frame per photo"
        )


def _camera(frame: Frame, photo: Path, header: PhotoHeader) -> Camera:
    """The frame's camera for the photo as it is stored on disk.

    Sizes must agree, with two conventions allowed for: a folder images_4 holds the photos divided by 4, and files that
    name the size of the originals alone (`Intrinsics.scales`).
    """
    lens = frame.intrinsics
    if lens.width is None or lens.height is None:
        return lens.camera(*header.size)
    camera = lens.camera(lens.width, lens.height)
    wanted = (lens.width, lens.height)
    if header.size == wanted or fits_as_stored(header, *wanted):
        return camera
    scaled = re.fullmatch(r".+_(\d+)", photo.parent.name)
    if scaled and int(scaled[1]) > 1:
        expected = [side / int(scaled[1]) for side in wanted]
        if all(abs(side - goal) <= 1 for side, goal in zip(header.size, expected, strict=True)):
            return camera.resized(*header.size)
    if lens.scales and header.size[0] < wanted[0]:
        expected = [side * header.size[0] / wanted[0] for side in wanted]
        # Half a pixel of rounding of the width is that many of the height.
        if abs(header.size[1] - expected[1]) <= 0.5 + 0.5 * wanted[1] / wanted[0]:
            return camera.resized(*header.size)
    raise size_error(f"{frame.where}: {photo}", header.size, wanted)


def _refuse_mixed_sizes(frame: Frame, header: PhotoHeader, seen: dict[int, tuple[tuple[int, int], str]]) -> None:
    """Photos of several sizes cannot share intrinsics that do not say which size they are for."""
    lens = frame.intrinsics
    if not lens.shared or lens.width is not None:
        return
    size, first = seen.setdefault(id(lens), (header.size, frame.listed))
    if size != header.size:
        raise ReconError(
            f"{lens.where}: photos of mixed sizes share one set of intrinsics",
            found=f"{size[0]}x{size[1]} ({first}) and {header.size[0]}x{header.size[1]} ({frame.listed})",
            wanted="one size, or intrinsics (w, h, fl_x, ...) in every frame",
            fix="add w and h with the intrinsics to each frame or scale the photos to one size",
        )


def view_names(source: str, photos: Sequence[Path]) -> list[str]:
    """File names; paths below the common folder when two folders hold a file of the same name."""
    names = [photo.name for photo in photos]
    if len({Path(name).stem for name in names}) < len(names):
        base = os.path.commonpath([photo.absolute().parent for photo in photos])
        names = [photo.absolute().relative_to(base).as_posix() for photo in photos]
        stems = Counter(str(Path(name).with_suffix("")) for name in names)
        clash = [name for name in names if stems[str(Path(name).with_suffix(""))] > 1]
        if clash:
            raise ReconError(
                f"{source}: photos that differ only in their ending", found=shorten(clash), fix="rename all but one"
            )
    return names
