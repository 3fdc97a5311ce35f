"""Ways to break a capture that `capture_formats` wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Edit = Callable[[Path], dict[str, Any] | None]
"""Breaks the capture in the folder; may return arguments of `read_capture`."""


def json_edit(change: Callable[[dict[str, Any]], object]) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "transforms.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data, indent=1))

    return edit


def set_key(key: str, value: object) -> Edit:
    return json_edit(lambda data: data.update({key: value}))


def without(*keys: str) -> Edit:
    return json_edit(lambda data: [data.pop(key) for key in keys])


def set_matrix(change: Callable[[np.ndarray], object], frame: int = 2) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        matrix = np.array(data["frames"][frame]["transform_matrix"])
        result = change(matrix)
        matrix = result if isinstance(result, np.ndarray) else matrix
        data["frames"][frame]["transform_matrix"] = matrix.tolist()

    return json_edit(edit)


def replace_text(file: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return edit


def cut(file: str, keep: float) -> Edit:
    def edit(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * keep)])

    return edit


def remove(*paths: str) -> Edit:
    def edit(folder: Path) -> None:
        for path in paths:
            (shutil.rmtree if (folder / path).is_dir() else Path.unlink)(folder / path)

    return edit


def resize(file: str, size: tuple[int, int]) -> Edit:
    return lambda folder: Image.open(folder / file).resize(size).save(folder / file)


def arguments(**named: str) -> Edit:
    return lambda folder: {key: folder / value for key, value in named.items()}


def both(*edits: Edit) -> Edit:
    def edit(folder: Path) -> dict[str, Any]:
        return {key: value for one in edits for key, value in (one(folder) or {}).items()}

    return edit


def set_array(file: str, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(folder: Path) -> None:
        arrays = dict(np.load(folder / file))
        arrays[key] = change(arrays[key])
        np.savez(folder / file, **arrays)

    return edit


def set_rows(change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return lambda folder: np.save(folder / "poses_bounds.npy", change(np.load(folder / "poses_bounds.npy")))


def nan_at(row: int, column: int) -> Callable[[np.ndarray], None]:
    return lambda matrix: matrix.__setitem__((row, column), np.nan)


def jpeg_photos(folder: Path) -> None:
    """Photos as JPEG under the listed .png names; formats are told by content."""
    for path in (folder / "images").iterdir():
        Image.open(path).resize((40, 30)).save(path, format="JPEG", quality=95)
