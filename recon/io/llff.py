"""LLFF's poses_bounds.npy: one row a photo, camera-to-world with columns [down, right, back]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import float_array, rigid_matrix
from recon.io.files import load_arrays, shorten
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet


class LlffReader:
    """poses_bounds.npy beside a folder of photos, paired with them by position in name order.

    Each row: a 3x5 matrix [down | right | back | centre | (height, width, focal)] and two depth bounds, which are not
    kept: an optimisation here takes its near plane from the points. The photos may be smaller copies of those whose
    size the rows name.
    """

    name = "LLFF"
    looks_for = "poses_bounds.npy"

    def find(self, place: Path) -> Path | None:
        if place.is_file():
            return place if place.suffix.lower() == ".npy" else None
        source = place / self.looks_for
        return source if source.is_file() else None

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        arrays = load_arrays(source)
        rows = arrays.get("", np.zeros(0))
        if rows.ndim != 2 or rows.shape[1] != 17:
            raise ReconError(
                f"{source}: not LLFF poses", found=f"an array of shape {list(rows.shape)}", wanted="[N, 17]"
            )
        files = photos.in_order()
        if len(files) != len(rows):
            raise ReconError(
                f"{source}: rows and photos do not pair up",
                found=f"{len(rows)} rows and {len(files)} photos ({shorten([path.name for path in files], 3)})",
                wanted="one photo a row: the file has no names",
                fix="set images to the folder with exactly the photos of the capture",
            )
        frames = []
        for index, (row, photo) in enumerate(zip(rows, files, strict=True)):
            where = f"{source}: row {index} ({photo.name})"
            matrix = float_array(row[:15].reshape(3, 5), f"{where}: pose")
            height, width, focal = matrix[:, 4]
            if width != int(width) or height != int(height) or min(width, height) < 1:
                raise ReconError(
                    f"{where}: image size", found=f"{width:g}x{height:g}", wanted="whole numbers of pixels"
                )
            lens = Intrinsics(where, int(width), int(height), fx=float(focal), scales=True)
            frames.append(Frame(where, photo.name, photo, lens, _world_to_camera(matrix[:, :4], f"{where}: pose")))
        return assemble(source, frames, photos, masks, CaptureParts())


def _world_to_camera(matrix: np.ndarray, field: str) -> np.ndarray:
    """OpenCV `world_to_camera` of camera-to-world columns [down, right, back, centre]."""
    down, right, back, center = matrix.T
    camera_to_world = rigid_matrix(np.stack([right, down, -back, center], axis=1), field)
    rotation = camera_to_world[:3, :3].T
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = -rotation @ center
    return result
