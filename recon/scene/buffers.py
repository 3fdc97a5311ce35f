"""Tensors in safetensors files, addressed the way glTF wants it: as byte offsets into the file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.scene.atomic import sync

FLOAT, UINT32 = 5126, 5125
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


@dataclass(frozen=True)
class Span:
    """Where an array lies: what one glTF accessor and its buffer view say."""

    uri: str
    """File, relative to the document."""
    file_bytes: int
    """Size of that file."""
    offset: int
    """First byte in the file."""
    count: int
    """Rows."""
    width: int
    """Components of a row."""
    component: int
    """glTF component type."""
    stride: int | None = None
    """Bytes between rows when they are not packed."""
    low: tuple[float, ...] | None = None
    """Smallest values, for positions."""
    high: tuple[float, ...] | None = None
    """Largest values, for positions."""

    @property
    def kind(self) -> str:
        """glTF accessor type."""
        return _TYPES[self.width]

    @property
    def length(self) -> int:
        """Bytes from the first component to the last."""
        row = 4 * self.width
        return row if self.count == 0 else (self.stride or row) * (self.count - 1) + row


@dataclass(frozen=True)
class Layout:
    """An array that is written piece by piece."""

    shape: tuple[int, ...]
    """[N], [N, C] or [N, K, 3], of the whole."""
    dtype: np.dtype
    """float32 or uint32."""

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(
    path: Path, uri: str, layouts: Mapping[str, Layout], pieces: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, Span]:
    """Write one safetensors file, on the disk when this returns, and say where each array [N, ...] lies.

    pieces: rows of the arrays, one after another, together all of them: nothing is in memory but a piece.
    An array [N, K, 3] becomes K spans named `name/0` ... whose rows are strided.
    Source: the format's description in the README of huggingface/safetensors.
    """
    header: dict[str, Any] = {}
    size = 0
    for name, layout in layouts.items():
        kind = {"float32": "F32", "uint32": "U32"}[layout.dtype.name]
        header[name] = {"dtype": kind, "shape": layout.shape, "data_offsets": (size, size + layout.nbytes)}
        size += layout.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    written = dict.fromkeys(layouts, 0)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    try:
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(begin + size)
            for piece in pieces:
                for name, values in piece.items():
                    file.seek(begin + header[name]["data_offsets"][0] + written[name])
                    file.write(np.ascontiguousarray(values, layouts[name].dtype.newbyteorder("<")).data)
                    written[name] += values.nbytes
                    if name == "POSITION" and len(values):
                        low, high = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
    except OSError as error:  # a full disk says which file
        raise OSError(error.errno, error.strerror, str(path)) from error
    assert all(written[name] == layout.nbytes for name, layout in layouts.items()), written
    sync(path)
    spans = {}
    for name, layout in layouts.items():
        start, count = begin + header[name]["data_offsets"][0], layout.shape[0]
        component = UINT32 if layout.dtype == np.uint32 else FLOAT
        if len(layout.shape) == 3:
            parts = layout.shape[1]
            for k in range(parts):
                spans[f"{name}/{k}"] = Span(uri, begin + size, start + 12 * k, count, 3, component, 12 * parts)
            continue
        width = 1 if len(layout.shape) == 1 else layout.shape[1]
        bounds = (tuple(low.tolist()), tuple(high.tolist())) if name == "POSITION" and count else (None, None)
        spans[name] = Span(uri, begin + size, start, count, width, component, None, *bounds)
    return spans


def read_span(root: Path, span: Span, place: str) -> np.ndarray:
    """The array [count] or [count, width] of `span`. `place` names it in errors."""
    path = root / span.uri
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ReconError(
            f"{root / 'scene.gltf'}: {place}: {path} cannot be read", found=error.strerror, fix=_FIX
        ) from None
    end = span.offset + (span.length if span.count else 0)
    if size != span.file_bytes or end > size:
        wanted = max(span.file_bytes, end)
        raise ReconError(
            f"{root / 'scene.gltf'}: {place}: {path} has the wrong size",
            found=f"{size} bytes",
            wanted=f"{wanted}",
            fix=_FIX,
        )
    dtype = np.uint32 if span.component == UINT32 else np.float32
    if span.count == 0:
        return np.zeros((0, span.width) if span.width > 1 else 0, dtype)
    row = 4 * span.width
    raw = np.memmap(path, np.uint8, "r", span.offset, (span.length,))
    strided = np.lib.stride_tricks.as_strided(raw, (span.count, row), (span.stride or row, 1))
    values = np.array(strided, order="C").view(dtype)  # a copy: tensors made of it may be written to
    return values if span.width > 1 else values[:, 0]


def rows_per_file(bytes_per_row: int, limit: int) -> int:
    """How many rows fit into a file of `limit` bytes, at least one."""
    return max(1, math.floor(limit / max(bytes_per_row, 1)))


_FIX = "restore the stage folder or make the scene again with `recon run --force`"
