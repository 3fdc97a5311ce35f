"""What a photo's header says: size, orientation, bit depth, focal length. No pixel is decoded here."""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile

from recon.errors import ReconError
from recon.io.files import unreadable

FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of 35 mm film. A "35 mm equivalent" focal length keeps the diagonal field of view (CIPA DCG-001)."""

_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""EXIF FocalPlaneResolutionUnit: inch, cm, mm, um."""


@dataclass(frozen=True)
class PhotoHeader:
    """A photo without its pixels."""

    stored: tuple[int, int]
    """Width and height of the pixels in the file, px."""
    orientation: int
    """EXIF orientation, 1 to 8; 1 is upright."""
    sixteen_bit: bool
    """True for 16 bits per channel."""
    has_alpha: bool
    """True when the file has an alpha channel or a transparent palette entry."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer shows the photo, px."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


@contextmanager
def open_photo(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """Open `path`, or its `content`, with Pillow.

    Whatever goes wrong inside, in opening or in decoding, becomes an error that names the file.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # other packages set it; half a photo must never pass for a whole one
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to write to the terminal
            with Image.open(path if content is None else io.BytesIO(content)) as image:
                yield image
    except ReconError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise unreadable(path, error) from None
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, struct.error, Image.DecompressionBombError) as error:
        found = "an empty file" if path.stat().st_size == 0 else str(error).splitlines()[0].replace(str(path), "it")
        raise ReconError(
            f"{path}: photo cannot be decoded",
            found=found,
            fix="copy or export it again, or remove it from the capture",
        ) from None


def read_header(path: Path) -> PhotoHeader:
    """Header of the photo at `path`."""
    with open_photo(path) as image:
        return header_of(image, path)


def header_of(image: Image.Image, path: Path) -> PhotoHeader:
    """Header of the photo at `path` that Pillow has opened and not decoded yet."""
    orientation = _exif(image, path).get(ExifTags.Base.Orientation, 1)
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1  # cameras write 0 for "unknown"; viewers show such photos as stored
    stored = image.size
    if image.format == "TIFF":  # newer Pillow reports the turned size here
        tags = image.tag_v2  # type: ignore[attr-defined]
        stored = (int(tags[256]), int(tags[257]))
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    raw_mode = str(args[0] if isinstance(args, tuple) and args else args)
    return PhotoHeader(
        stored=stored,
        orientation=orientation,
        sixteen_bit=";16" in raw_mode or image.mode.startswith("I"),
        has_alpha=image.has_transparency_data,
    )


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels [H, W, ...] as a viewer shows them. Source: EXIF 2.32, tag 274."""
    flipped = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
    }
    if orientation <= 4:
        return flipped[orientation]
    turned = pixels.swapaxes(0, 1)
    return {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}[orientation]


def exif_focal_px(path: Path) -> float | None:
    """Focal length in pixels of the photo at `path` from its EXIF data, or None when that does not tell.

    From the 35 mm equivalent (over the diagonal), else from the focal length and the sensor's resolution, corrected
    for a photo that was resized after it was taken. Good to some 5 %: a start for calibration, not a calibration.
    """
    with open_photo(path) as image:
        width, height = header_of(image, path).stored
        exif = _exif(image, path).get_ifd(ExifTags.IFD.Exif)
    equivalent = _positive(exif.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if equivalent:
        return equivalent / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height)
    focal_mm = _positive(exif.get(ExifTags.Base.FocalLength))
    resolution = _positive(exif.get(ExifTags.Base.FocalPlaneXResolution))
    unit_mm = _UNIT_MM.get(exif.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    if not (focal_mm and resolution and unit_mm):
        return None
    taken_width = _positive(exif.get(ExifTags.Base.ExifImageWidth)) or width
    return focal_mm * resolution / unit_mm * width / taken_width


def _exif(image: Image.Image, path: Path) -> Image.Exif:
    """EXIF data, without decoding pixels: Pillow decodes a whole PNG to see whether there is any at its end."""
    if image.format != "PNG" or "exif" in image.info:
        return image.getexif()
    exif = Image.Exif()
    exif.load(_png_chunk(path, b"eXIf"))
    return exif


def _png_chunk(path: Path, kind: bytes) -> bytes:
    """Content of the first chunk of this kind in a PNG, empty when there is none."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, found = struct.unpack(">I4s", head)
            if found == kind:
                return file.read(length)
            file.seek(length + 4, 1)
    return b""


def _positive(value: object) -> float | None:
    """An EXIF number, which may be a broken rational, as a positive float."""
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return result if math.isfinite(result) and result > 0 else None
