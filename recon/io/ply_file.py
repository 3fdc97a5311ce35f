"""PLY as such: a header, and rows of numbers read and written in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.files import unreadable
from recon.scene.atomic import atomic_path

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_NAMES = {"f4": "float", "f8": "double", "u1": "uchar", "u4": "uint", "i4": "int"}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_LONGEST_HEADER = 1 << 20
ROWS = 1 << 14
"""Rows that are in memory at a time beside what is made of them."""


@dataclass(frozen=True)
class PlyElement:
    """One table of a file."""

    name: str
    count: int
    layout: np.dtype | None
    """One row, in the byte order of the file; None when it has lists, and so no fixed length."""


@dataclass(frozen=True)
class PlyFile:
    """The part of a PLY before its data."""

    path: Path
    format: str
    elements: tuple[PlyElement, ...]
    comments: tuple[str, ...]
    start: int
    """Bytes before the data."""

    def element(self, name: str) -> PlyElement | None:
        """The element of that name."""
        return next((one for one in self.elements if one.name == name), None)

    def names(self, name: str) -> tuple[str, ...]:
        """Properties of an element; none when it is not there."""
        found = self.element(name)
        return () if found is None or found.layout is None else found.layout.names or ()

    def check_size(self) -> None:
        """Raise unless the file can hold the rows that its header announces: nothing is allocated for a lie."""
        have = self.path.stat().st_size - self.start
        for element in self.elements:
            if element.layout is None:
                return
            # A row of text has at least a digit and a separator per property.
            row = element.layout.itemsize if self.format != "ascii" else 2 * len(element.layout.names or ())
            if have < element.count * row - (self.format == "ascii"):
                what = {"vertex": "vertices"}.get(element.name, f"rows of {element.name}")
                raise broken(self.path, f"at most {max(have, 0) // row} of {element.count} {what}")
            have -= element.count * row

    def rows(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Pieces of an element: the number of the first row, and a structured array of at most `ROWS` rows."""
        skipped_rows = skipped_bytes = 0
        for element in self.elements:
            if element.layout is None:
                raise broken(self.path, f"lists in the element {element.name}, before or in {name}")
            if element.name == name:
                break
            skipped_rows += element.count
            skipped_bytes += element.count * element.layout.itemsize
        else:
            return
        with self.path.open("rb") as file:
            file.seek(self.start)
            if self.format == "ascii":
                lines = itertools.islice(file, skipped_rows, skipped_rows + element.count)
                yield from self._text_rows(lines, element)
                return
            file.seek(skipped_bytes, 1)
            for first in range(0, element.count, ROWS):
                wanted = min(ROWS, element.count - first)
                piece = np.fromfile(file, element.layout, wanted)
                if len(piece) < wanted:
                    raise broken(self.path, f"{first + len(piece)} of {element.count} rows")
                yield first, piece

    def _text_rows(self, lines: Iterator[bytes], element: PlyElement) -> Iterator[tuple[int, np.ndarray]]:
        assert element.layout is not None
        names = element.layout.names or ()
        for first in range(0, element.count, ROWS):
            wanted = min(ROWS, element.count - first)
            some = [line.split()[: len(names)] for line in itertools.islice(lines, wanted)]
            try:
                table = np.array(some, np.float64)
            except ValueError:
                raise broken(self.path, "a row that is not numbers") from None
            if table.shape != (wanted, len(names)):
                raise broken(self.path, f"{first + len(table)} of {element.count} vertices")
            piece = np.empty(wanted, element.layout)
            for index, name in enumerate(names):
                piece[name] = table[:, index]
            yield first, piece


def open_ply(path: Path) -> PlyFile:
    """Read and check the header. ReconError when it is none, or announces more than the file holds."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_HEADER)
    except OSError as error:
        raise unreadable(path, error) from None
    end = data.find(b"end_header")
    newline = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or newline < 0:
        raise broken(path, "no PLY header")
    lines = data[:end].decode("ascii", errors="replace").splitlines()[1:]
    format_name, elements, comments = "", [], []
    properties: list[tuple[str, str]] | None = None
    for line in lines:
        match line.split():
            case []:
                pass
            case ["comment", *words]:
                comments.append(" ".join(words))
            case ["obj_info", *_]:
                pass
            case ["format", name, _] if name in _ORDERS:
                format_name = name
            case ["element", name, number] if number.isdecimal() and len(number) < 18:
                properties = []
                elements.append((name, int(number), properties))
            case ["property", "list", _, _, name] if properties is not None:
                properties.append((name, "list"))
            case ["property", kind, name] if properties is not None and kind in _TYPES:
                properties.append((name, _TYPES[kind]))
            case words:
                raise broken(path, f"the header line {' '.join(words)[:60]!r}")
    if not format_name or not elements:
        raise broken(path, "a header without format and vertices")
    order = _ORDERS[format_name]
    made = []
    for name, count, columns in elements:
        if len({column for column, _ in columns}) < len(columns) or not columns:
            raise broken(path, f"an element {name} without properties, or with one twice")
        lists = any(kind == "list" for _, kind in columns)
        layout = None if lists else np.dtype([(column, order + kind) for column, kind in columns])
        made.append(PlyElement(name, count, layout))
    result = PlyFile(path, format_name, tuple(made), tuple(comments), newline + 1)
    result.check_size()
    return result


def write_ply(path: Path, elements: Mapping[str, Mapping[str, np.ndarray]], comments: Iterable[str] = ()) -> None:
    """Write a little-endian file of elements, each a mapping of properties to columns [N], in pieces."""
    layouts = {
        name: np.dtype([(column, values.dtype.newbyteorder("<")) for column, values in columns.items()])
        for name, columns in elements.items()
    }
    counts = {name: len(next(iter(columns.values()))) for name, columns in elements.items()}
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    for name, columns in elements.items():
        lines.append(f"element {name} {counts[name]}")
        lines += [
            f"property {_NAMES[values.dtype.newbyteorder('<').str[1:]]} {column}" for column, values in columns.items()
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join([*lines, "end_header"]) + "\n").encode())
        for name, columns in elements.items():
            for first in range(0, counts[name], ROWS):
                piece = np.empty(min(ROWS, counts[name] - first), layouts[name])
                for column, values in columns.items():
                    piece[column] = values[first : first + ROWS]
                piece.tofile(file)


def broken(path: Path, found: str) -> ReconError:
    """The message for a file that is damaged or no PLY of vertices at all."""
    return ReconError(f"{path}: not a whole PLY file of vertices", found=found, fix="copy or export the file again")
