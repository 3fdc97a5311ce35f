"""Photos with known cameras from disk, whatever format the cameras are in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from recon.errors import ReconError
from recon.io.blender import BlenderReader
from recon.io.colmap import ColmapReader
from recon.io.dtu import DtuReader
from recon.io.files import unreadable
from recon.io.frames import Capture, Reader, Skipped
from recon.io.llff import LlffReader
from recon.io.photos import MaskFolder, PhotoSet
from recon.io.polycam import PolycamReader
from recon.io.record3d import Record3dReader
from recon.io.strecha import StrechaReader
from recon.io.transforms_json import TransformsReader
from recon.io.unposed import read_unposed

__all__ = ["READERS", "Capture", "Reader", "Skipped", "read_capture"]

READERS: tuple[Reader, ...] = (
    TransformsReader(), BlenderReader(), ColmapReader(), LlffReader(), DtuReader(), PolycamReader(), Record3dReader(),
    StrechaReader(),
)  # fmt: skip
"""Every format, in the order in which they are looked for."""


def read_capture(
    images: Path | str | Sequence[Path | str],
    cameras: Path | None = None,
    masks: Path | None = None,
    poses: Literal["required", "optional", "ignored"] = "required",
) -> Capture:
    """Read photos with their cameras; only headers of photos are read, not pixels.

    images: a folder of photos or of a whole capture, a glob pattern, or a list of files. It decides which photos take
    part: frames of the camera file whose photo is not there are returned in `skipped`, as are photos without a pose.
    cameras: file or folder with the poses; when None, looked for beside the photos and one level up.
    masks: folder of grey images named like the photos, white where a photo counts.
    poses: "required": a capture without is an error; "optional": it comes back with `posed` False; "ignored": so does
    one with poses.
    Raises ReconError for everything that is wrong with the files.
    """
    photos = PhotoSet.of(images)
    mask_folder = MaskFolder(masks.expanduser()) if masks is not None else None
    if poses == "ignored":
        return read_unposed(photos, mask_folder)
    places = [cameras.expanduser()] if cameras is not None else photos.camera_places()
    if cameras is not None:
        try:
            places[0].stat()
        except OSError as error:
            raise unreadable(places[0], error) from None
    for place in places:
        for reader in READERS:
            source = reader.find(place)
            if source is not None:
                return reader.read(source, photos, mask_folder)
    looked_for = ", ".join(reader.looks_for for reader in READERS)
    if cameras is not None:
        raise ReconError(f"{cameras}: not a camera file of a known format", wanted=looked_for)
    if poses == "optional":
        return read_unposed(photos, mask_folder)
    photos.in_order()  # a folder without photos is the more useful message
    raise ReconError(
        f"{photos.where}: no camera poses",
        found="none of " + looked_for + " in " + " or ".join(str(place) for place in places),
        fix="set cameras, or poses.method: sfm to estimate them",
    )
