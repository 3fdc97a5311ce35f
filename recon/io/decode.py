"""Image files to arrays of their own bit depth, upright, complete or not at all."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from recon.errors import ReconError
from recon.io.exif import PhotoHeader, open_photo, orient, read_header
from recon.io.files import read_bytes


def decode_photo(path: Path) -> tuple[np.ndarray, PhotoHeader]:
    """Pixels [H, W, 3 or 4] uint8 or uint16, RGB or RGBA, as a viewer shows them, and the header."""
    header = read_header(path)
    pixels = _decode(path, header, "RGBA" if header.has_alpha else "RGB")
    return orient(pixels, header.orientation), header


def decode_mask(path: Path) -> np.ndarray:
    """A mask as float32 [H, W] in [0, 1]. A mask whose values are 0 and 1 counts 1 as white."""
    header = read_header(path)
    # By way of RGB: palette entries count as the grey of their colour, and an alpha channel is ignored.
    pixels = orient(_decode(path, header, "RGB"), header.orientation)[..., :3]
    if pixels.dtype == np.uint16:
        return pixels.mean(axis=-1, dtype=np.float32) / 65535
    grey = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    return grey.astype(np.float32) / (1 if grey.max() <= 1 else 255)


def _decode(path: Path, header: PhotoHeader, mode: str) -> np.ndarray:
    """Pixels as they are stored: uint8 in Pillow's `mode`, or uint16 with the channels of the file."""
    content = _without_tiff_orientation(path, header, read_bytes(path))
    with open_photo(path, content) as image:
        if image.mode == "F":
            raise ReconError(
                f"{path}: photo cannot be used", found="floating-point pixels", wanted="8 or 16 bits per channel"
            )
        # Pillow decodes even what OpenCV is going to: OpenCV passes some truncated files off as whole ones.
        image.load()
        if not header.sixteen_bit:
            return np.asarray(image.convert(mode))
    return _decode_sixteen_bit(path, content)


def _decode_sixteen_bit(path: Path, content: bytes) -> np.ndarray:
    """Pillow keeps only the high byte of 16-bit colour, so OpenCV reads these."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or (pixels.ndim == 3 and pixels.shape[-1] not in (3, 4)):
        raise ReconError(f"{path}: photo cannot be decoded", wanted="8 or 16 bits per channel", fix="save it as a PNG")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    return pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]


def _without_tiff_orientation(path: Path, header: PhotoHeader, content: bytes) -> bytes:
    """The bytes of a file with the orientation tag of a TIFF's first page set to 1, so that no decoder acts on it.

    Pillow turns TIFFs while it decodes them, OpenCV turns some and fails on the others.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or header.orientation == 1:
        return content
    (version,) = struct.unpack_from(order + "H", content, 2)
    if version != 42:
        raise ReconError(f"{path}: a BigTIFF with an EXIF orientation", fix="save it upright or as a plain TIFF")
    patched = bytearray(content)
    (offset,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, offset)
    for entry in range(offset + 2, offset + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from(order + "H", content, entry)
        if tag == ExifTags.Base.Orientation:
            struct.pack_into(order + "H", patched, entry + 8, 1)
    return bytes(patched)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W, 3 or 4] as a PNG, RGB or RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Level 1 is several times faster than the default and a few percent larger.
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)


def write_grey(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W] as a grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")
