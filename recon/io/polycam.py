"""Polycam's raw data: a JSON per photo, corrected by Polycam's own optimisation where it ran.

Source: github.com/PolyCam/polyform, README. Poses are ARKit's: camera to world in metres, the camera looks down -z with
y up, and the world has y up. Files are named by the microsecond of the photo, and each has its own focal length.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import number, pixel_count, rigid_matrix
from recon.io.files import list_folder, load_json_object, natural_key
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet
from recon.io.transforms_json import world_to_camera_from_opengl

_PAIRS = (("corrected_cameras", "corrected_images"), ("cameras", "images"))


class PolycamReader:
    """The folder `keyframes`, or the one that holds it."""

    name = "Polycam"
    looks_for = "keyframes/cameras/*.json"

    def find(self, place: Path) -> Path | None:
        if place.is_file():
            return None
        for base in (place / "keyframes", place, place.parent):
            for cameras, _ in _PAIRS:
                if base.name == "keyframes" and any((base / cameras).glob("*.json")):
                    return base / cameras
        return None

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        folder = source.parent / dict(_PAIRS)[source.name]
        files = sorted((p for p in list_folder(source) if p.suffix == ".json"), key=lambda p: natural_key(p.name))
        listed = [f"{folder.name}/{path.stem}" for path in files]
        found = photos.find_all(listed, source.parent)
        frames = []
        for path, name, photo in zip(files, listed, found, strict=True):
            data, where = load_json_object(path), str(path)
            values = [[number(data, f"t_{row}{column}", where) for column in range(4)] for row in range(3)]
            if any(value is None for row in values for value in row):
                raise ReconError(f"{where}: the pose is not whole", wanted="t_00 to t_23", fix="export it again")
            lens = Intrinsics(
                where, pixel_count(data, "width", where), pixel_count(data, "height", where),
                fx=number(data, "fx", where), fy=number(data, "fy", where),
                cx=number(data, "cx", where), cy=number(data, "cy", where),
            )  # fmt: skip
            pose = rigid_matrix(np.array(values, np.float64).tolist(), f"{where}: t_00 to t_23")
            frames.append(Frame(where, name, photo, lens, world_to_camera_from_opengl(pose)))
        return assemble(source, frames, photos, masks, CaptureParts(metric=True))
