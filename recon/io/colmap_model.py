"""COLMAP's cameras, images and points3D as text or binary files, parsed without COLMAP.

Source: colmap, doc/format.rst. Newer models bring rigs and frames files too; images still hold the full pose.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.io.files import read_bytes, read_text

MODEL_NAMES = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
    "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE",
)  # fmt: skip
"""Model of each number in a binary file. COLMAP only ever appends to this list."""

_PARAM_COUNTS = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16)


@dataclass(frozen=True)
class ColmapCamera:
    """One line of cameras.txt."""

    where: str
    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """One image: rotation as a quaternion wxyz, world to camera in OpenCV axes."""

    where: str
    quat: tuple[float, ...]
    translation: tuple[float, ...]
    camera_id: int
    name: str


@dataclass(frozen=True)
class ColmapModel:
    """A sparse reconstruction."""

    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]
    positions: np.ndarray
    """[N, 3] float64."""
    colors: np.ndarray
    """[N, 3] uint8."""


def read_model(folder: Path) -> ColmapModel:
    """The model in `folder`, binary where there is both. points3D may be absent; cameras and images may not."""
    binary = (folder / "cameras.bin").is_file() or (folder / "images.bin").is_file()
    suffix = ".bin" if binary else ".txt"
    for stem in ("cameras", "images"):
        if not (folder / (stem + suffix)).is_file():
            raise ReconError(
                f"{folder}: incomplete COLMAP model",
                found=f"no {stem}{suffix}",
                wanted=f"cameras{suffix} and images{suffix}",
                fix="copy the whole model or export it again with `colmap model_converter`",
            )
    points = folder / ("points3D" + suffix)
    if binary:
        cameras, images = _read_cameras_bin(folder / "cameras.bin"), _read_images_bin(folder / "images.bin")
        positions, colors = _read_points_bin(points) if points.is_file() else _no_points()
    else:
        cameras, images = _read_cameras_txt(folder / "cameras.txt"), _read_images_txt(folder / "images.txt")
        positions, colors = _read_points_txt(points) if points.is_file() else _no_points()
    if not np.isfinite(positions).all():
        raise ReconError(f"{points}: a point is not finite", fix="remove it or export the model again")
    return ColmapModel(cameras, images, positions, colors)


def _no_points() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)


class _Line:
    """A line of a text file; a field that does not parse names the line and itself."""

    def __init__(self, path: Path, number: int, text: str, fields: int = -1) -> None:
        self.where = f"{path}: line {number}"
        self.fields = text.split(None, fields) if fields >= 0 else text.split()

    def parse(self, index: int, name: str, kind: Callable[[str], Any], wanted: str = "a number") -> Any:
        """Field `index` through `kind`, which raises ValueError for anything but `wanted`."""
        try:
            return kind(self.fields[index])
        except IndexError:
            raise ReconError(
                f"{self.where}: {name} is missing", found=f"{len(self.fields)} fields", fix="export the model again"
            ) from None
        except ValueError:
            raise ReconError(f"{self.where}: {name}", found=repr(self.fields[index]), wanted=wanted) from None


def _byte(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 255:
        raise ValueError
    return value


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line.strip()) for number, line in enumerate(read_text(path).splitlines(), start=1))


def _content(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in _lines(path) if line and not line.startswith("#"))


def _read_cameras_txt(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for number, text in _content(path):
        line = _Line(path, number, text)
        camera_id = line.parse(0, "CAMERA_ID", int)
        model = line.parse(1, "MODEL", str)
        width, height = line.parse(2, "WIDTH", int), line.parse(3, "HEIGHT", int)
        params = tuple(line.parse(i, "PARAMS[]", float) for i in range(4, len(line.fields)))
        cameras[camera_id] = ColmapCamera(f"{line.where}: camera {camera_id}", model, width, height, params)
    return cameras


def _read_images_txt(path: Path) -> list[ColmapImage]:
    images = []
    lines = _lines(path)
    for number, text in lines:
        if not text or text.startswith("#"):
            continue
        line = _Line(path, number, text, fields=9)
        quat = tuple(line.parse(i, "QW QX QY QZ", float) for i in range(1, 5))
        translation = tuple(line.parse(i, "TX TY TZ", float) for i in range(5, 8))
        camera_id, name = line.parse(8, "CAMERA_ID", int), line.parse(9, "NAME", str)
        images.append(ColmapImage(f"{line.where} ({name})", quat, translation, camera_id, name))
        next(lines, None)  # the image's 2D points, an empty line when it has none
    return images


def _read_points_txt(path: Path) -> tuple[np.ndarray, np.ndarray]:
    positions, colors = [], []
    for number, text in _content(path):
        line = _Line(path, number, text, fields=7)
        positions.append([line.parse(i, "X Y Z", float) for i in range(1, 4)])
        colors.append([line.parse(i, "R G B", _byte, "a whole number, 0 to 255") for i in range(4, 7)])
    return np.array(positions).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)


class _Cursor:
    """A position in a little-endian binary file; reading beyond its end names what was being read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = read_bytes(path)
        self.offset = 0

    def take(self, layout: str, what: str) -> tuple[Any, ...]:
        """The next values in the layout of `struct`."""
        try:
            values = struct.unpack_from("<" + layout, self.data, self.offset)
        except struct.error:
            raise self._truncated(what) from None
        self.offset += struct.calcsize("<" + layout)
        return values

    def skip(self, size: int, what: str) -> None:
        """Pass over `size` bytes."""
        if self.offset + size > len(self.data):
            raise self._truncated(what)
        self.offset += size

    def text(self, what: str) -> str:
        """The next zero-terminated string."""
        end = self.data.find(b"\0", self.offset)
        if end < 0:
            raise self._truncated(what)
        value = self.data[self.offset : end].decode("utf-8", errors="replace")
        self.offset = end + 1
        return value

    def _truncated(self, what: str) -> ReconError:
        return ReconError(
            f"{self.path}: truncated",
            found=f"the end of the file (byte {len(self.data)}) in {what}",
            fix="copy or export the model again",
        )


def _read_cameras_bin(path: Path) -> dict[int, ColmapCamera]:
    cursor = _Cursor(path)
    cameras = {}
    (count,) = cursor.take("Q", "the number of cameras")
    for index in range(count):
        what = f"camera {index + 1} of {count}"
        camera_id, model, width, height = cursor.take("IiQQ", what)
        where = f"{path}: camera {camera_id}"
        if not 0 <= model < len(MODEL_NAMES):
            raise ReconError(
                f"{where}: unknown camera model",
                found=f"number {model}",
                wanted="one of " + ", ".join(MODEL_NAMES),
                fix="undistort the photos first, for instance with `colmap image_undistorter`",
            )
        params = cursor.take(f"{_PARAM_COUNTS[model]}d", what)
        cameras[camera_id] = ColmapCamera(where, MODEL_NAMES[model], width, height, params)
    return cameras


def _read_images_bin(path: Path) -> list[ColmapImage]:
    cursor = _Cursor(path)
    images = []
    (count,) = cursor.take("Q", "the number of images")
    for index in range(count):
        what = f"image {index + 1} of {count}"
        _, *pose, camera_id = cursor.take("I7dI", what)
        name = cursor.text(what)
        (points,) = cursor.take("Q", what)
        cursor.skip(24 * points, what)
        where = f"{path}: image {index + 1} ({name})"
        images.append(ColmapImage(where, tuple(pose[:4]), tuple(pose[4:]), camera_id, name))
    return images


def _read_points_bin(path: Path) -> tuple[np.ndarray, np.ndarray]:
    cursor = _Cursor(path)
    (count,) = cursor.take("Q", "the number of points")
    positions, colors = [], []
    for index in range(count):
        what = f"point {index + 1} of {count}"
        _, x, y, z, r, g, b, _, track = cursor.take("Q3d3BdQ", what)
        cursor.skip(8 * track, what)
        positions.append((x, y, z))
        colors.append((r, g, b))
    return np.array(positions).reshape(-1, 3), np.array(colors, np.uint8).reshape(-1, 3)
