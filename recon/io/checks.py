"""Checks on numbers that come from a file, each with an error that names the field."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from recon.errors import ReconError

ROTATION_TOLERANCE = 1e-3
"""Largest deviation of R^T R from the identity that passes for rounding: files with four decimals stay below it."""


def rigid_matrix(value: Any, field: str) -> np.ndarray:
    """A [3, 4] or [4, 4] rigid motion as float64 [4, 4], its rotation made exactly orthonormal.

    `field` is the start of every message: file, place and name of the field.
    """
    matrix = float_array(value, field)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise ReconError(
            field, found=f"a matrix of shape {list(matrix.shape)}", wanted="4x4 or 3x4", fix="export the cameras again"
        )
    if matrix.shape == (4, 4) and np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise ReconError(
            field, found=f"last row {matrix[3].tolist()}", wanted="[0, 0, 0, 1]", fix="transpose or mend the matrix"
        )
    result = np.eye(4)
    result[:3, 3] = matrix[:3, 3]
    result[:3, :3] = rotation_matrix(matrix[:3, :3], field)
    return result


def rotation_matrix(matrix: np.ndarray, field: str) -> np.ndarray:
    """The rotation nearest to `matrix` [3, 3]; an error when it is further away than rounding explains."""
    gram = matrix.T @ matrix
    scale = math.sqrt(max(np.trace(gram) / 3, 0.0))
    if np.abs(gram - np.eye(3)).max() > ROTATION_TOLERANCE:
        rigid_but_scaled = scale > 0 and np.abs(gram / scale**2 - np.eye(3)).max() <= ROTATION_TOLERANCE
        raise ReconError(
            f"{field}: not a rigid motion",
            found=f"a rotation scaled by {scale:.6g}" if rigid_but_scaled else "axes that are not orthonormal",
            wanted="a rotation and a translation",
            fix="divide the rotation by its scale" if rigid_but_scaled else "export the cameras again",
        )
    u, _, vt = np.linalg.svd(matrix)
    nearest: np.ndarray = u @ vt
    if np.linalg.det(nearest) < 0:
        raise ReconError(
            f"{field}: not a rigid motion",
            found="a reflection (determinant -1)",
            wanted="a rotation (determinant +1)",
            fix="negate one axis or export the cameras again",
        )
    return nearest


def float_array(value: Any, field: str) -> np.ndarray:
    """`value` as a finite float64 array."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ReconError(field, found=brief(value), wanted="numbers in rows of equal length") from None
    if not np.isfinite(array).all():
        raise ReconError(
            f"{field}: holds a value that is not finite",
            found=str(array[~np.isfinite(array)][0]),
            fix="remove the frame or estimate its pose again",
        )
    return array


def number(data: Mapping[str, Any], key: str, where: str) -> float | None:
    """The finite number under `key`, or None when the key is absent."""
    value = data.get(key)
    if value is None:
        return None
    # Compared rather than math.isfinite: JSON integers may be too large for a float.
    largest = sys.float_info.max
    if isinstance(value, bool) or not isinstance(value, int | float) or not -largest <= value <= largest:
        raise ReconError(f"{where}: {key}", found=brief(value), wanted="a finite number")
    return float(value)


def pixel_count(data: Mapping[str, Any], key: str, where: str) -> int | None:
    """The positive whole number under `key`, or None when the key is absent."""
    value = number(data, key, where)
    if value is None:
        return None
    if value < 1 or value != int(value):
        raise ReconError(f"{where}: {key}", found=brief(data[key]), wanted="a whole number of pixels above 0")
    return int(value)


def brief(value: Any, limit: int = 60) -> str:
    """A value as text that fits into a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
