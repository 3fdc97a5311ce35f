"""Numbers in few bits, the way several splat formats store them."""

from __future__ import annotations

import numpy as np


def opacity_bytes(logits: np.ndarray) -> np.ndarray:
    """uint8 of opacities, 255 for opaque."""
    return np.rint(255 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.uint8)


def opacity_logits(opacities: np.ndarray) -> np.ndarray:
    """float32 logits of opacities in 0 to 255; fully opaque or clear in 8 bits becomes the middle of its step."""
    share = np.clip(opacities.astype(np.float64), 0.25, 254.75) / 255
    return np.log(share / (1 - share)).astype(np.float32)


def unit(quats: np.ndarray) -> np.ndarray:
    """Quaternions of length one, float64; zeros become the identity, (1, 0, 0, 0) in whatever order."""
    quats = quats.astype(np.float64)
    length = np.linalg.norm(quats, axis=-1, keepdims=True)
    return np.where(length > 0, quats / np.maximum(length, 1e-300), np.eye(4)[0])


_SMALLEST = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
"""Components that are left when one is dropped, in ascending order."""


def smallest_three(quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] index of the largest component of unit quaternions in any order, and the three others [N, 3], signs such that
    the largest is positive: they lie within 1/sqrt(2) of zero."""
    largest = np.abs(quats).argmax(1)
    sign = np.where(np.take_along_axis(quats, largest[:, None], 1) < 0, -1.0, 1.0)
    return largest, np.take_along_axis(quats, _SMALLEST[largest], 1) * sign


def from_smallest_three(largest: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The inverse: unit quaternions [N, 4] float32."""
    quats = np.empty((len(others), 4))
    np.put_along_axis(quats, _SMALLEST[largest], others, 1)
    rest = np.sqrt(np.maximum(0, 1 - (others * others).sum(1)))
    np.put_along_axis(quats, largest[:, None], rest[:, None], 1)
    return unit(quats).astype(np.float32)


def morton_order(points: np.ndarray) -> np.ndarray:
    """Row numbers of [N, 3] along a Z-shaped curve, so that neighbours in the file are neighbours in space."""
    low, high = points.min(0), points.max(0)
    cells = ((points - low) / np.maximum(high - low, 1e-30) * 1023).astype(np.uint64)
    code = np.zeros(len(points), np.uint64)
    for axis in range(3):
        bits = cells[:, axis]
        for shift, mask in ((16, 0x30000FF), (8, 0x300F00F), (4, 0x30C30C3), (2, 0x9249249)):
            bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
        code |= bits << np.uint64(axis)
    return np.argsort(code, kind="stable")
