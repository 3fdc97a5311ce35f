"""What to tell somebody whose photos do not come together, drawn from what was found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from recon.io.files import shorten
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Pair
from recon.poses.sfm.photos import PhotoFeatures

_FEW_KEYPOINTS = 500
_GOOD_MATCHES = 40
_BLURRED = 0.35  # keypoints of a photo against the median of all


def reason_left_out(photo: int, photos: PhotoFeatures, matches: Mapping[Pair, Tensor]) -> str:
    """Why a photo has no pose, in a few words."""
    counts = [len(features.pixels) for features in photos.features]
    mine = {pair: len(found) for pair, found in matches.items() if photo in pair}
    best = max(mine, key=lambda pair: mine[pair], default=None)
    text = "no match with any other photo"
    if best is not None and mine[best]:
        other = photos.names[best[0] if best[1] == photo else best[1]]
        text = f"at most {mine[best]} matches, with {other}"
    if counts[photo] < _FEW_KEYPOINTS or counts[photo] < _BLURRED * float(np.median(counts)):
        text += f", and only {counts[photo]:,} keypoints: blurred, dark or without texture"
    return text


def advice_for_left_out(left_out: Sequence[int], photos: PhotoFeatures, matches: Mapping[Pair, Tensor]) -> str:
    """A few lines on what would bring photos in that have no pose, while others have one; "" when none is left out."""
    if not left_out:
        return ""
    names, outside = photos.names, set(left_out)
    lines = [f"{len(outside)} of {len(names)} photos have no place. What would bring them in:"]
    for photo in left_out:
        mine = {i + j - photo: len(found) for (i, j), found in matches.items() if photo in (i, j) and len(found)}
        placed = [other for other in mine if other not in outside]
        others = [other for other in mine if other in outside and mine[other] >= _GOOD_MATCHES]
        if placed:
            best = max(placed, key=lambda other: mine[other])
            line = f"  {names[photo]}: photos between it and {names[best]} ({mine[best]} matches)"
        else:
            line = f"  {names[photo]}: photos on the way from it to one that has a place, none of which it matches"
        if others:
            line += f"; {shorten([names[other] for other in others])} would come along"
        lines.append(line)
    lines.append("  in steps of 10 to 20 degrees, each overlapping the next by two thirds")
    return "\n".join(lines)


def advice(photos: PhotoFeatures, matches: Mapping[Pair, Tensor], doubts: Sequence[str], config: SfmConfig) -> str:
    """A few lines: what was found, which pairs match, what to photograph."""
    names, pairs = photos.names, sorted(matches, key=lambda pair: len(matches[pair]), reverse=True)
    good = [pair for pair in pairs if len(matches[pair]) >= _GOOD_MATCHES]
    lines = [f"  {reason}" for reason in doubts]
    for i, j in good[:6]:
        lines.append(f"  {names[i]} and {names[j]}: {len(matches[i, j])} matches")
    joined = {photo for pair in good for photo in pair}
    alone = [names[photo] for photo in range(len(names)) if photo not in joined]
    if alone:
        lines.append(f"  hardly any match with another photo: {shorten(alone)}")
    few = [names[k] for k, one in enumerate(photos.features) if len(one.pixels) < _FEW_KEYPOINTS]
    if few:
        lines.append(f"  blurred, dark or without texture: {shorten(few)}")
    lines.append("What helps: photos that overlap by two thirds, 10 to 20 degrees between neighbours (for an object, a")
    lines.append(
        "ring of 18 to 36), taken while moving sideways rather than turning on the spot; matt, textured things"
    )
    lines.append("around the object (a newspaper below it); no zooming; sharp photos in even light.")
    return "\n".join(lines)
