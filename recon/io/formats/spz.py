"""SPZ (Niantic): positions in 24-bit fixed point, everything else in a few bits, gzip (version 3) or zstandard (4).

Source: the README and headers of nianticlabs/spz. Axes are those of the PLY: the library's own tools store them
unchanged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from recon.errors import ReconError
from recon.geometry.spherical_harmonics import count as sh_count
from recon.io.files import unreadable
from recon.io.formats.format import (
    Format,
    array,
    as_splats,
    damaged,
    empty_gaussians,
    file_size,
    gaussians_of,
    refuse_bomb,
    rows,
)
from recon.io.formats.quantize import from_smallest_three, opacity_bytes, opacity_logits, smallest_three, unit
from recon.scene import Scene, Splats
from recon.scene.atomic import atomic_path

_MAGIC = b"NGSP"
_HEADER = struct.Struct("<4sIIBBBB")  # magic, version, count, degree, fractional bits, flags, reserved or streams
_MOST_BITS, _LARGEST = 20, (1 << 23) - 1
_COLOR = 0.15
_NINE = 511
_LEVEL = 9
"""Of gzip; zstandard's 12 is what the library uses."""

Stream = tuple[str, int]
"""Name of an attribute and its bytes a splat."""


def _streams(version: int, sh_degree: int) -> list[Stream]:
    """In the file's order."""
    rest = 3 * (sh_count(sh_degree) - 1)
    streams = [("positions", 9), ("alphas", 1), ("colors", 3), ("scales", 3), ("rotations", 3 if version < 3 else 4)]
    return streams + ([("sh", rest)] if rest else [])


def write(version: int, scene: Scene, path: Path) -> None:
    """As many fractional bits for positions as the scene's size leaves; scales beyond e^-10 and e^5.9 are clamped, and
    harmonics above the first beyond 1."""
    splats = gaussians_of(scene, "SPZ")
    reach = float(np.abs(array(splats, "means")).max(initial=0))
    bits = _MOST_BITS
    while bits > 0 and reach * (1 << bits) > _LARGEST:
        bits -= 1
    if reach * (1 << bits) > _LARGEST:
        raise ReconError(
            f"{path}: a scene too large for SPZ", found=f"{reach:g} units from the origin",
            wanted=f"at most {_LARGEST}", fix="export with --crop, or in another format",
        )  # fmt: skip
    streams = _streams(version, splats.sh_degree)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if version == 3:
            header = _HEADER.pack(_MAGIC, 3, len(splats), splats.sh_degree, bits, 0, 0)
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
            file.write(packer.compress(header))
            for name, _ in streams:
                for piece in rows(len(splats)):
                    file.write(packer.compress(_encode(name, splats, piece, bits)))
            file.write(packer.flush())
            return
        import zstandard

        header = _HEADER.pack(_MAGIC, 4, len(splats), splats.sh_degree, bits, 0, len(streams))
        start = 32
        file.write(header + struct.pack("<I", start) + bytes(12) + bytes(16 * len(streams)))
        sizes = []
        for name, width in streams:
            begin = file.tell()
            compressor = zstandard.ZstdCompressor(level=12).compressobj(size=width * len(splats))
            for piece in rows(len(splats)):
                file.write(compressor.compress(_encode(name, splats, piece, bits)))
            file.write(compressor.flush())
            sizes += [file.tell() - begin, width * len(splats)]
        file.seek(start)
        file.write(struct.pack(f"<{len(sizes)}Q", *sizes))


def _encode(name: str, splats: Splats, piece: slice, bits: int) -> bytes:
    """The bytes of some splats in one stream."""
    if name == "positions":
        fixed = np.rint(array(splats, "means", piece).astype(np.float64) * (1 << bits)).astype("<i4")
        return fixed.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    if name == "alphas":
        return opacity_bytes(array(splats, "opacity_logits", piece)).tobytes()
    if name == "rotations":
        xyzw = unit(array(splats, "quats", piece))[:, [1, 2, 3, 0]]
        largest, others = smallest_three(xyzw)
        packed = largest.astype(np.uint32) << np.uint32(30)
        magnitude = np.rint(np.abs(others) * 2**0.5 * _NINE).clip(0, _NINE).astype(np.uint32)
        fields = magnitude | (others < 0).astype(np.uint32) << np.uint32(9)
        for index, shift in enumerate((20, 10, 0)):
            packed |= fields[:, index] << np.uint32(shift)
        return packed.astype("<u4").tobytes()
    values = {
        "colors": lambda: array(splats, "sh_coeffs", piece)[:, 0] * (_COLOR * 255) + 127.5,
        "scales": lambda: (array(splats, "log_scales", piece) + 10) * 16,
        "sh": lambda: array(splats, "sh_coeffs", piece)[:, 1:] * 128 + 128,
    }[name]()
    return np.rint(values).clip(0, 255).astype(np.uint8).tobytes()


def read(path: Path) -> Splats:
    """Versions 2 to 4."""
    size = file_size(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"\x1f\x8b"):
                inflated = _Inflated(path, file)
                version, count, degree, bits, _ = _header(path, inflated.read(_HEADER.size))
                if version == 4:
                    raise damaged(path, "SPZ", "version 4 inside gzip")
                return _decode(path, version, count, degree, bits, size, lambda name: inflated.read)
            version, count, degree, bits, streams = _header(path, file.read(_HEADER.size))
            if version != 4:
                raise damaged(path, "SPZ", f"version {version} without gzip")
            if streams != len(_streams(version, degree)):
                raise damaged(path, "SPZ", f"{streams} streams", len(_streams(version, degree)))
            opened = _ZstdStreams(path, file, size, count, degree)
            return _decode(path, version, count, degree, bits, size, opened.open)
    except OSError as error:
        raise unreadable(path, error) from None


def _header(path: Path, data: bytes) -> tuple[int, int, int, int, int]:
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise damaged(path, "SPZ", "no header")
    _, version, count, degree, bits, _, streams = _HEADER.unpack(data)
    if version not in (2, 3, 4):
        raise ReconError(f"{path}: SPZ of a version that is not read", found=version, wanted="2, 3 or 4")
    if degree > 3 or bits > 23:
        raise damaged(path, "SPZ", f"harmonics of degree {degree}, {bits} fractional bits", "at most 3, at most 23")
    return version, count, degree, bits, streams


def _decode(
    path: Path, version: int, count: int, degree: int, bits: int, size: int,
    open_stream: Callable[[str], Callable[[int], bytes]],
) -> Splats:  # fmt: skip
    streams = _streams(version, degree)
    refuse_bomb(path, "SPZ", size, count * sum(width for _, width in streams))
    arrays = empty_gaussians(count, degree)
    for name, width in streams:
        take = open_stream(name)
        for piece in rows(count):
            wanted = width * (piece.stop - piece.start)
            data = take(wanted)
            if len(data) < wanted:
                raise damaged(path, "SPZ", f"{piece.start + len(data) // width} of {count} {name}")
            _decode_into(name, arrays, piece, np.frombuffer(data, np.uint8).reshape(-1, width), bits)
    return as_splats(arrays)


def _decode_into(name: str, arrays: dict[str, np.ndarray], piece: slice, data: np.ndarray, bits: int) -> None:
    if name == "positions":
        padded = np.zeros((len(data), 3, 4), np.uint8)
        padded[:, :, 1:] = data.reshape(-1, 3, 3)
        arrays["means"][piece] = (padded.view("<i4")[..., 0] >> 8) / float(1 << bits)
    elif name == "alphas":
        arrays["opacity_logits"][piece] = opacity_logits(data[:, 0])
    elif name == "colors":
        arrays["sh_coeffs"][piece, 0] = (data / 255 - 0.5) / _COLOR
    elif name == "scales":
        arrays["log_scales"][piece] = data / 16 - 10
    elif name == "sh":
        arrays["sh_coeffs"][piece, 1:] = (data.reshape(len(data), -1, 3).astype(np.float32) - 128) / 128
    elif data.shape[1] == 3:  # version 2: x, y and z of the quaternion with w >= 0
        xyz = data / 127.5 - 1
        w = np.sqrt(np.maximum(0, 1 - (xyz * xyz).sum(1, keepdims=True)))
        arrays["quats"][piece] = unit(np.concatenate([w, xyz], axis=1))
    else:
        packed = data.copy().view("<u4")[:, 0]
        fields = np.stack([packed >> np.uint32(shift) & np.uint32(1023) for shift in (20, 10, 0)], axis=1)
        others = (fields & _NINE) / _NINE * np.where(fields >> 9, -1, 1) * 0.5**0.5
        arrays["quats"][piece] = from_smallest_three(packed >> np.uint32(30), others)[:, [3, 0, 1, 2]]


class _Inflated:
    """A gzip file that is unpacked as far as it is asked for."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.stream = zlib.decompressobj(31)

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        parts, missing = [], size
        try:
            while missing:
                packed = self.stream.unconsumed_tail or self.file.read(1 << 16)
                part = self.stream.decompress(packed, missing)
                if not part and not packed:
                    break
                parts.append(part)
                missing -= len(part)
        except zlib.error as error:
            raise damaged(self.path, "SPZ", error) from None
        return b"".join(parts)


class _ZstdStreams:
    """The streams of version 4, each unpacked as far as it is asked for."""

    def __init__(self, path: Path, file: BinaryIO, size: int, count: int, degree: int) -> None:
        self.path, self.file = path, file
        (table,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        streams = _streams(4, degree)
        start = table + 16 * len(streams)
        if not 32 <= table <= size or start > size:
            raise damaged(path, "SPZ", f"a table of streams at byte {table} of {size}")
        file.seek(table)
        numbers = struct.unpack(f"<{2 * len(streams)}Q", file.read(16 * len(streams)))
        self.offsets: dict[str, tuple[int, int]] = {}
        for (name, width), packed, unpacked in zip(streams, numbers[::2], numbers[1::2], strict=True):
            if unpacked != width * count or start + packed > size:
                raise damaged(path, "SPZ", f"{unpacked} bytes of {name} for {count} splats, {packed} packed")
            self.offsets[name] = (start, packed)
            start += packed

    def open(self, name: str) -> Callable[[int], bytes]:
        """A function that gives the next bytes of a stream."""
        import zstandard

        start, size = self.offsets[name]
        self.file.seek(start)
        pieces = iter(self._packed(size))
        reader = zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, _Pieces(pieces)))

        def take(wanted: int) -> bytes:
            parts = []
            try:
                while wanted and (part := reader.read(wanted)):
                    parts.append(part)
                    wanted -= len(part)
            except zstandard.ZstdError as error:
                raise damaged(self.path, "SPZ", error) from None
            return b"".join(parts)

        return take

    def _packed(self, size: int) -> Iterator[bytes]:
        while size and (piece := self.file.read(min(size, 1 << 16))):
            size -= len(piece)
            yield piece


class _Pieces:
    """An iterator of bytes as the file that zstandard wants to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self.pieces, b"")


def _is_spz(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC) or (head.startswith(b"\x1f\x8b") and path.suffix.lower() == ".spz")


FORMAT = Format("splats.spz", "SPZ version 3: gzip, about 20 bytes a Gaussian", partial(write, 3), read, _is_spz)
FORMAT_4 = Format("splats.spz", "SPZ version 4: zstandard", partial(write, 4))
