"""Random crops of pairs, turned, mirrored and recoloured; the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.learn.pairs import Pairs, read_pairs
from recon.priors.small.inputs import FIRST, SECOND

_PHOTOS = (FIRST, SECOND)
_COLORS = (slice(0, 3), slice(5, 8), slice(9, 12), slice(13, 16))  # render, the two photos, truth


def load_folder(folder: Path, split: str, limit: int | None = None) -> list[Pairs]:
    """The pairs of the first `limit` scenes of a split. Raises ReconError when there are none."""
    paths = sorted(folder.glob(f"{split}-*.npz"))[:limit]
    if not paths:
        raise ReconError(
            f"{folder}: no pairs of split {split}", fix=f"make them with `recon prior pairs --out {folder}`"
        )
    return [read_pairs(path) for path in paths]


def draw(pairs: Sequence[Pairs], batch: int, crop: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """A batch for training: layers [B, 13, crop, crop] and truth [B, 3, crop, crop], float32 in [0, 1]."""
    random = np.random.default_rng([seed, step])
    layers, truths = [], []
    for _ in range(batch):
        one = pairs[int(random.integers(len(pairs)))]
        k = int(random.integers(len(one.layers)))
        height, width = one.truth.shape[2:]
        top, left = (int(random.integers(side - crop + 1)) for side in (height, width))
        window = (slice(None), slice(top, top + crop), slice(left, left + crop))
        both = np.concatenate([one.layers[k][window], one.truth[k][window]]).astype(np.float32) / 255
        both = np.rot90(both, int(random.integers(4)), (1, 2))
        if random.random() < 0.5:
            both = both[:, :, ::-1]
        made = recolored(unsteady(both, random), random)
        layers.append(made[:-3])
        truths.append(made[-3:])
    return torch.from_numpy(np.stack(layers)), torch.from_numpy(np.stack(truths))


def unsteady(planes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[16, H, W] with photos a little brighter or darker, or a pixel off: real cameras and exposures are not exact."""
    result = planes.copy()
    for where in _PHOTOS:
        if random.random() < 0.3:
            result[where] = np.roll(result[where], tuple(random.integers(-1, 2, 2)), (1, 2))
        colors = slice(where.start, where.start + 3)
        result[colors] = np.clip(result[colors] * np.exp(random.normal(0, 0.02)), 0, 1)
    return result


def recolored(planes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[16, H, W]: layers and truth with other colours, the same change for all pictures."""
    order = random.permutation(3)
    gain, gamma = np.exp(random.normal(0, 0.15, (3, 1, 1))), np.exp(random.normal(0, 0.25))
    result = planes.copy()
    for where in _COLORS:
        changed = np.clip(planes[where][order], 0, 1) ** gamma * gain
        result[where] = np.clip(changed, 0, 1)
    return result
