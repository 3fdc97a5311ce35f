"""Compressed PLY (PlayCanvas): 16 bytes a Gaussian in chunks of 256 with bounds of their own, harmonics in 8 bits.

Source: the format's description in the PlayCanvas developer site and super-splat's files. Positions and scales have
11, 10 and 11 bits between the bounds of their chunk; rotations are the three smaller components in 10 bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.geometry.spherical_harmonics import C0
from recon.io.formats.format import ROWS, Format, array, as_splats, empty_gaussians, gaussians_of
from recon.io.formats.quantize import (
    from_smallest_three,
    morton_order,
    opacity_bytes,
    opacity_logits,
    smallest_three,
    unit,
)
from recon.io.ply_file import PlyFile, broken, open_ply, write_ply
from recon.scene import Scene, Splats

_CHUNK = 256
_BOUNDS = [
    f"{side}_{name}" for names in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
    for side in ("min", "max") for name in names
]  # fmt: skip
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_BITS = ((11, 21), (10, 11), (11, 0))
_SMALLEST_LOG_SCALE, _LARGEST_LOG_SCALE = -20.0, 20.0


def write(scene: Scene, path: Path) -> None:
    """Splats in the order of a space-filling curve, so that a chunk is small and its bounds are tight."""
    splats = gaussians_of(scene, "compressed PLY")
    count = len(splats)
    if count == 0:
        raise ReconError("compressed PLY needs at least one splat", found="none")
    order = morton_order(array(splats, "means"))
    bounds = np.empty((-(-count // _CHUNK), 18), np.float32)
    packed = np.empty((count, 4), np.uint32)
    for first in range(0, count, ROWS):
        which = order[first : first + ROWS]
        chunks = slice(first // _CHUNK, -(-(first + len(which)) // _CHUNK))
        scales = array(splats, "log_scales")[which].clip(_SMALLEST_LOG_SCALE, _LARGEST_LOG_SCALE)
        colors = array(splats, "sh_coeffs")[which, 0] * C0 + 0.5
        places = _within(array(splats, "means")[which], bounds[chunks, 0:6])
        packed[first : first + ROWS, 0] = _pack(places, _BITS)
        packed[first : first + ROWS, 2] = _pack(_within(scales, bounds[chunks, 6:12]), _BITS)
        shades = _within(colors, bounds[chunks, 12:18])
        opacity = opacity_bytes(array(splats, "opacity_logits")[which]).astype(np.uint32)
        packed[first : first + ROWS, 3] = _pack(shades, ((8, 24), (8, 16), (8, 8))) | opacity
        largest, others = smallest_three(unit(array(splats, "quats")[which]))
        turned = _pack(others * 0.5**0.5 + 0.5, ((10, 20), (10, 10), (10, 0)))
        packed[first : first + ROWS, 1] = turned | largest.astype(np.uint32) << 30
    elements: dict[str, dict[str, np.ndarray]] = {
        "chunk": dict(zip(_BOUNDS, bounds.T, strict=True)),
        "vertex": dict(zip(_PACKED, packed.T, strict=True)),
    }
    rest = array(splats, "sh_coeffs")[:, 1:]
    if rest.shape[1]:
        levels = np.empty((count, 3, rest.shape[1]), np.uint8)
        for first in range(0, count, ROWS):
            # A level is read as its middle, but 0 and 255 as the ends of the range.
            some = rest[order[first : first + ROWS]].transpose(0, 2, 1)
            levels[first : first + ROWS] = ((some / 8 + 0.5) * 256).clip(0, 255)
        flat = levels.reshape(count, -1)
        elements["sh"] = {f"f_rest_{i}": flat[:, i] for i in range(flat.shape[1])}
    write_ply(path, elements)


def read(path: Path) -> Splats:
    """Splats in the file's order."""
    file = open_ply(path)
    chunk, vertex, rest = (file.element(name) for name in ("chunk", "vertex", "sh"))
    if chunk is None or vertex is None or set(_PACKED) - set(file.names("vertex")):
        raise broken(path, "no packed splats")
    if chunk.count * _CHUNK < vertex.count:
        raise broken(path, f"{chunk.count} chunks of {_CHUNK} for {vertex.count} splats")
    bounds = np.empty((chunk.count, 18), np.float32)
    for first, rows in file.rows("chunk"):
        for index, name in enumerate(_BOUNDS):
            # The first files of this kind had no bounds of colours, which then lie in [0, 1].
            present = name in file.names("chunk")
            bounds[first : first + len(rows), index] = rows[name] if present else float(name.startswith("max"))
    if not np.isfinite(bounds).all():
        raise broken(path, "bounds of a chunk that are not finite")
    names = file.names("sh")
    if (
        len(names) not in (0, 9, 24, 45)
        or set(names) != {f"f_rest_{i}" for i in range(len(names))}
        or (rest is not None and rest.count != vertex.count)
    ):
        raise broken(path, f"{len(names)} harmonics for {0 if rest is None else rest.count} splats")
    coefficients = len(names) // 3 + 1
    arrays = empty_gaussians(vertex.count, round(coefficients**0.5) - 1)
    for first, rows in file.rows("vertex"):
        piece = slice(first, first + len(rows))
        of = bounds[np.arange(piece.start, piece.stop) // _CHUNK]
        arrays["means"][piece] = _between(_unpack(rows["packed_position"], _BITS), of[:, 0:6])
        arrays["log_scales"][piece] = _between(_unpack(rows["packed_scale"], _BITS), of[:, 6:12])
        colors = _between(_unpack(rows["packed_color"], ((8, 24), (8, 16), (8, 8))), of[:, 12:18])
        arrays["sh_coeffs"][piece, 0] = (colors - 0.5) / C0
        arrays["opacity_logits"][piece] = opacity_logits(rows["packed_color"] & 255)
        turned = _unpack(rows["packed_rotation"], ((10, 20), (10, 10), (10, 0)))
        arrays["quats"][piece] = from_smallest_three(rows["packed_rotation"] >> 30, (turned - 0.5) * 2**0.5)
    if coefficients > 1:
        _read_rest(file, arrays["sh_coeffs"])
    return as_splats(arrays)


def _read_rest(file: PlyFile, harmonics: np.ndarray) -> None:
    """Fill [N, 1:, 3]; the file goes by channel."""
    per_channel = harmonics.shape[1] - 1
    for first, rows in file.rows("sh"):
        for i in range(3 * per_channel):
            level = rows[f"f_rest_{i}"].astype(np.float32)
            share = np.where(level == 0, 0, np.where(level == 255, 1, (level + 0.5) / 256))
            harmonics[first : first + len(rows), 1 + i % per_channel, i // per_channel] = share * 8 - 4


def _within(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """[N, 3] in [0, 1] between the bounds of their chunks, which are filled in: [C, 6], least then greatest values."""
    starts = np.arange(0, len(values), _CHUNK)
    bounds[:, :3] = np.minimum.reduceat(values, starts)
    bounds[:, 3:] = np.maximum.reduceat(values, starts)
    of = bounds[np.arange(len(values)) // _CHUNK].astype(np.float64)
    span = of[:, 3:] - of[:, :3]
    return np.where(span > 1e-5, (values - of[:, :3]) / np.maximum(span, 1e-5), 0)


def _between(shares: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return bounds[:, :3] + shares * (bounds[:, 3:] - bounds[:, :3])


def _pack(shares: np.ndarray, bits: tuple[tuple[int, int], ...]) -> np.ndarray:
    """uint32 of [N, 3] in [0, 1]: width and position of each field."""
    result = np.zeros(len(shares), np.uint32)
    for column, (width, shift) in zip(shares.T, bits, strict=True):
        top = (1 << width) - 1
        result |= np.rint(column * top).clip(0, top).astype(np.uint32) << np.uint32(shift)
    return result


def _unpack(packed: np.ndarray, bits: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The inverse of `_pack`, [N, 3] float64."""
    return np.stack([(packed >> shift & ((1 << width) - 1)) / ((1 << width) - 1) for width, shift in bits], axis=1)


FORMAT = Format(
    "splats.compressed.ply",
    "16 bytes a Gaussian and 8-bit harmonics",
    write,
    read,
    lambda path, head: head.startswith(b"ply") and b"packed_position" in head,
)
