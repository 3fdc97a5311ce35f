"""Reading small files with errors that name the file, and the order in which photos are listed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
"""Endings of the image files that can be read, in the order in which a name without ending is completed."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts r_2.png before r_10.png."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def is_photo(path: Path) -> bool:
    """True for the name of a readable image format; hidden files do not count."""
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")


def list_photos(folder: Path) -> list[Path]:
    """Photos directly in `folder`, in plain name order."""
    return sorted(path for path in list_folder(folder) if is_photo(path) and path.is_file())


def list_folder(folder: Path) -> list[Path]:
    """Entries of `folder`; a ReconError when it is missing, a file or not readable."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from None


def unreadable(path: Path, error: OSError) -> ReconError:
    """The message for a file or folder that the operating system refuses."""
    fix = {
        FileNotFoundError: "check the spelling of the path",
        NotADirectoryError: "give the folder that holds it",
        IsADirectoryError: "give the file inside it",
        PermissionError: f"run `chmod -R u+rX {path}` or choose another one",
    }.get(type(error), "check the disk and the path")
    return ReconError(f"{path}: cannot be read", found=error.strerror or error, fix=fix)


def read_bytes(path: Path) -> bytes:
    """Content of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def read_text(path: Path) -> str:
    """Content of a UTF-8 file."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReconError(
            f"{path}: not a text file", found=f"byte {error.start} is not UTF-8", fix="export the file again"
        ) from None


def load_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; a syntax error is reported with its line."""
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ReconError(
            f"{path}: line {error.lineno}, column {error.colno} is not valid JSON",
            found=error.msg,
            fix="mend the line or export the file again",
        ) from None
    if not isinstance(data, dict):
        raise ReconError(f"{path}: not a JSON object", found=type(data).__name__, wanted='{"...": ...}')
    return data


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an .npz by name, or the one of an .npy under the empty name."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception as error:  # numpy raises ValueError, EOFError, BadZipFile, zlib.error, ... for broken files
        raise ReconError(
            f"{path}: not a whole numpy file", found=str(error) or type(error).__name__, fix="copy or export it again"
        ) from None


def shorten(names: Sequence[str], limit: int = 5) -> str:
    """The first names of a list, for a message."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
