"""Few values that stand for many: k-means in one dimension and in several."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BATCH = 1024


def codebook(values: np.ndarray, size: int = 256, rounds: int = 12) -> np.ndarray:
    """`size` ascending numbers near which all of `values` lie, float32. Exact where no more differ."""
    ordered = np.sort(values.reshape(-1).astype(np.float64))
    different = np.unique(ordered)
    if len(different) <= size:
        return np.concatenate([different, np.full(size - len(different), different[-1])]).astype(np.float32)
    # Half of them start where the values are dense and half evenly, so that outliers have a number of their own.
    dense = ordered[np.linspace(0, len(ordered) - 1, size // 2).astype(int)]
    centers = np.sort(np.concatenate([dense, np.linspace(ordered[0], ordered[-1], size - size // 2)]))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(rounds):
        edges = np.searchsorted(ordered, (centers[1:] + centers[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(ordered)]])
        counts = np.diff(edges)
        means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1)
        centers = np.sort(np.where(counts > 0, means, centers))
    return centers.astype(np.float32)


def nearest_entry(values: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """uint8 number of the nearest of 256 ascending `entries`, in the shape of `values`."""
    middles = (entries[1:].astype(np.float64) + entries[:-1]) / 2
    return np.searchsorted(middles, values).astype(np.uint8)


def palette(rows: np.ndarray, size: int, rounds: int = 4, per_entry: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """`size` rows [size, D] float32 near which all of `rows` [N, D] lie, and for each row the number of its nearest.

    k-means on a sample of `per_entry` rows for each entry; the same rows give the same palette.
    """
    data = torch.from_numpy(rows).float()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data), generator=generator)
    centers = data[order[:size]].clone()
    sample = data[order[: size * per_entry]]
    for _ in range(rounds if len(data) > size else 0):
        which = _nearest(sample, centers)
        counts = torch.bincount(which, minlength=size)
        sums = torch.zeros_like(centers).index_add_(0, which, sample)
        used = counts > 0
        centers[used] = sums[used] / counts[used, None]
    return centers.numpy(), _nearest(data, centers).numpy()


def _nearest(rows: Tensor, centers: Tensor) -> Tensor:
    """[N] int64. By |c|^2 / 2 - x c, which orders the centres as the distance does."""
    half = (centers * centers).sum(1) / 2
    return torch.cat([torch.addmm(half, part, centers.T, alpha=-1).argmin(1) for part in rows.split(_BATCH)])
