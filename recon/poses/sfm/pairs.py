"""Matches between photos of which nothing is known yet, and which of them can belong to one motion."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from recon.poses.matching import match_pair
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Pair
from recon.poses.sfm.photos import PhotoFeatures

_LEAST = 15  # some ten matches fit one motion by chance, or a tenth of many
_LEAST_SHARE = 0.15
_MAX_ERROR_PX = 3.0
_SAME_PX, _SAME_SHARE = 0.5, 0.3  # keypoints that do not move at all, of all that could be matched: the same photo


def match_photos(
    photos: PhotoFeatures, config: SfmConfig, seed: int, progress: Callable[[int, int], None]
) -> tuple[dict[Pair, Tensor], dict[int, int]]:
    """Matches [M, 2] of every pair that fit some fundamental matrix, and which photos repeat an earlier one.

    Pairs without enough matches are left out, and so are those of photos that repeat another.
    """
    pairs = list(itertools.combinations(range(len(photos.names)), 2))
    matches: dict[Pair, Tensor] = {}
    repeats: dict[int, int] = {}
    for done, (i, j) in enumerate(pairs, 1):
        progress(done, len(pairs))
        if i in repeats or j in repeats:
            continue
        found = match_pair(photos.features[i], photos.features[j], None, config.match)
        if is_repeat(photos, (i, j), found):
            repeats[j] = i
            continue
        matches[i, j] = verified(photos, (i, j), found, seed)
    kept = {pair: found for pair, found in matches.items() if len(found) >= _LEAST and not repeats.keys() & set(pair)}
    return kept, repeats


def is_repeat(photos: PhotoFeatures, pair: Pair, matches: Tensor) -> bool:
    """Whether two photos are one: a copy, or one taken again without moving, which tells nothing of depth."""
    a, b = (photos.features[photo].pixels for photo in pair)
    if len(matches) < max(_LEAST, _SAME_SHARE * min(len(a), len(b))):
        return False
    moved = (a[matches[:, 0]] - b[matches[:, 1]]).norm(dim=1)
    return float(moved.median()) < _SAME_PX


def verified(photos: PhotoFeatures, pair: Pair, matches: Tensor, seed: int) -> Tensor:
    """Those of `matches` [M, 2] that fit the fundamental matrix of most of them, none when that is chance.

    Every later step is quicker and safer without the others. Source: MAGSAC++ (Barath et al. 2020), in OpenCV.
    """
    none = matches[:0]
    if len(matches) < _LEAST:
        return none
    a, b = (photos.features[photo].pixels[matches[:, side]].numpy() for side, photo in enumerate(pair))
    params = cv2.UsacParams()
    params.threshold, params.confidence, params.maxIterations = _MAX_ERROR_PX, 0.9999, 5000
    params.randomGeneratorState = seed
    params.sampler, params.score = cv2.SAMPLING_UNIFORM, cv2.SCORE_METHOD_MAGSAC
    params.loMethod, params.loIterations, params.loSampleSize = cv2.LOCAL_OPTIM_SIGMA, 10, 20
    try:
        _, mask = cv2.findFundamentalMat(a, b, params)
    except cv2.error:  # all points on one line and the like
        return none
    if mask is None:
        return none
    kept = matches[torch.from_numpy(np.asarray(mask).reshape(-1).astype(bool))]
    return kept if len(kept) >= max(_LEAST, _LEAST_SHARE * len(matches)) else none
