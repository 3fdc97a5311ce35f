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


def match_photos(
    photos: PhotoFeatures, config: SfmConfig, seed: int, progress: Callable[[int, int], None]
) -> dict[Pair, Tensor]:
    """Matches [M, 2] of every pair that fit some fundamental matrix; pairs without enough of them are left out."""
    pairs = list(itertools.combinations(range(len(photos.names)), 2))
    matches = {}
    for done, (i, j) in enumerate(pairs, 1):
        found = match_pair(photos.features[i], photos.features[j], None, config.match)
        matches[i, j] = verified(photos, (i, j), found, seed)
        progress(done, len(pairs))
    return {pair: found for pair, found in matches.items() if len(found) >= _LEAST}


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
