"""Cameras of Strecha's multi-view stereo benchmark (fountain, castle, ...): a text file NAME.camera for each photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import rotation_matrix
from recon.io.files import list_folder, read_text
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet

FOLDERS = ("gt_dense_cameras", "cameras")
_SUFFIX = ".camera"
_NUMBERS = 26  # K by rows, three zeros, R^T by rows, the centre, width and height


class StrechaReader:
    """*.camera files: K of the full image, the transposed rotation, the centre of projection, the full size.

    Photos may be smaller than the size that the files give; K is scaled to theirs. Source: Strecha et al. 2008.
    """

    name = "Strecha's multi-view stereo"
    looks_for = "gt_dense_cameras/*.camera"

    def find(self, place: Path) -> Path | None:
        if not place.is_dir():
            return None
        return next((folder for folder in (place, *(place / name for name in FOLDERS)) if _camera_files(folder)), None)

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        files = _camera_files(source)
        listed = [path.name.removesuffix(_SUFFIX) for path in files]
        by_name = {path.name: path for path in photos.in_order()}
        found = [by_name.get(name) for name in listed]
        frames = [_frame(path, name, photo) for path, name, photo in zip(files, listed, found, strict=True)]
        return assemble(source, frames, photos, masks, CaptureParts())


def _camera_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in list_folder(folder) if path.name.endswith(_SUFFIX))


def _frame(path: Path, name: str, photo: Path | None) -> Frame:
    try:
        values = np.array([float(word) for word in read_text(path).split()])
    except ValueError as error:
        raise ReconError(f"{path}: not numbers", found=str(error), wanted="a camera as Strecha writes it") from None
    if len(values) != _NUMBERS or not np.isfinite(values).all():
        raise ReconError(f"{path}: incomplete", found=f"{len(values)} numbers", wanted=f"{_NUMBERS} finite ones")
    K, R = values[:9].reshape(3, 3), rotation_matrix(values[12:21].reshape(3, 3).T, str(path))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, -R @ values[21:24]
    width, height = (int(value) for value in values[24:])
    lens = Intrinsics(
        str(path), width, height, fx=float(K[0, 0]), fy=float(K[1, 1]), cx=float(K[0, 2]), cy=float(K[1, 2])
    )
    return Frame(str(path), name, photo, _for_photo(lens, photo), pose)


def _for_photo(lens: Intrinsics, photo: Path | None) -> Intrinsics:
    """`lens` for the size that the photo has: the benchmark's photos are passed on at fractions of their size."""
    if photo is None:
        return lens
    from recon.io.exif import read_header

    assert lens.width is not None and lens.height is not None
    width, height = read_header(photo).size
    if abs(width / lens.width - height / lens.height) * max(lens.width, lens.height) > 2 * lens.width / width:
        return lens  # another shape: the general check explains it
    camera = lens.camera(lens.width, lens.height).resized(width, height)
    fx, fy, cx, cy = (float(camera.K[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Intrinsics(lens.where, width, height, fx=fx, fy=fy, cx=cx, cy=cy)
