"""Photos of a run that is finding out where they were taken from: places as messages, and small pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from recon.io.decode import decode_photo
from recon.io.exif import header_of, open_photo, orient
from recon.scene import View
from recon.viewer.messages import Keyframe, PhotoPlace, Photos

PICTURE_PX = 320
"""Longer side of the small pictures, at most."""
_JPEG_QUALITY = 80


def photos_message(photos: Sequence[View], placed: Sequence[View]) -> Photos:
    """photos: all of the run.   placed: those of them whose cameras and poses mean something."""
    places = {view.name: view for view in placed}
    return Photos([_place(view, places.get(view.name)) for view in photos])


def _place(photo: View, placed: View | None) -> PhotoPlace:
    camera = None
    if placed is not None:
        lens = placed.camera
        pose, K = placed.world_to_camera.flatten().tolist(), lens.K.flatten().tolist()
        camera = Keyframe(pose, K, lens.width, lens.height)
    return PhotoPlace(photo.name, photo.split, camera, photo.photo is not None)


def small_picture(path: Path) -> bytes:
    """The photo at `path` as a JPEG, upright. Raises ReconError when it cannot be decoded."""
    with open_photo(path) as image:
        header = header_of(image, path)
        if image.format == "JPEG":
            # Its decoder scales by powers of two much faster than we could afterwards.
            image.draft("RGB", (2 * PICTURE_PX, 2 * PICTURE_PX))
            pixels = orient(np.asarray(image.convert("RGB")), header.orientation)
        else:
            pixels = decode_photo(path)[0][..., :3]
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()
