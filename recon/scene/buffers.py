"""Tensors in safetensors files, addressed the way glTF wants it: as byte offsets into the file."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
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


def write_tensors(path: Path, uri: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Span]:
    """Write one safetensors file, on the disk when this returns, and say where each array [N, ...] lies.

    An array [N, K, 3] becomes K spans named `name/0` ... whose rows are strided.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        # A full disk comes as text; callers that tell the user about refused writes look for OSError.
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    path.chmod(0o644)
    sync(path)
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(header_length))
    size, spans = path.stat().st_size, {}
    for name, array in arrays.items():
        start = 8 + header_length + header[name]["data_offsets"][0]
        component = UINT32 if array.dtype == np.uint32 else FLOAT
        if array.ndim == 3:
            for k in range(array.shape[1]):
                spans[f"{name}/{k}"] = Span(uri, size, start + 12 * k, len(array), 3, component, 12 * array.shape[1])
            continue
        width = 1 if array.ndim == 1 else array.shape[1]
        low = high = None
        if name == "POSITION" and len(array):
            low, high = tuple(map(float, array.min(0))), tuple(map(float, array.max(0)))
        spans[name] = Span(uri, size, start, len(array), width, component, None, low, high)
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
