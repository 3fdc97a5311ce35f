"""An object cut out of its background from a box around it, with no network: GrabCut (Rother et al. 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.errors import ReconError

MAX_SIDE = 640
"""Photos are cut at this longer side, px, and the outline is scaled up: colour models see no more in larger ones."""
_ITERATIONS = 6
_SPECK = 0.01  # share of the largest part below which a part, or a hole, is noise


@dataclass(frozen=True)
class Box:
    """A rectangle in shares of a photo's width and height, from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        sides = (self.left, self.top, self.right, self.bottom)
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ReconError(
                "box", found=" ".join(f"{side:g}" for side in sides), wanted="left < right and top < bottom in [0, 1]",
                fix="give shares of the photo's width and height: left top right bottom",
            )  # fmt: skip


def cut_out(rgb: np.ndarray, box: Box, name: str) -> np.ndarray:
    """The object's mask [H, W] uint8, 0 or 255, in a photo [H, W, 3] uint8. What is outside of `box` is background.

    Small specks go and small holes close. The same photo and box give the same mask.
    Raises ReconError, which speaks of `name`, when the box holds nothing but background.
    """
    import cv2

    height, width = rgb.shape[:2]
    factor = min(1.0, MAX_SIDE / max(height, width))
    size = (max(2, round(width * factor)), max(2, round(height * factor)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if factor < 1 else np.ascontiguousarray(rgb)
    x, y = round(box.left * size[0]), round(box.top * size[1])
    rectangle = (x, y, max(1, round(box.right * size[0]) - x), max(1, round(box.bottom * size[1]) - y))
    if rectangle[2] * rectangle[3] >= size[0] * size[1]:
        raise ReconError(
            f"{name}: the box is the whole photo", wanted="some background around it", fix="shrink the box"
        )
    labels = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(0)  # the colour models start at random clusters
    background, object_ = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, rectangle, background, object_, _ITERATIONS, cv2.GC_INIT_WITH_RECT)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    found = tidied(found)
    if not found.any():
        raise nothing_found(name)
    smooth = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(smooth > 0.5, 255, 0).astype(np.uint8)


def nothing_found(name: str) -> ReconError:
    """What to raise where the box of photo `name` holds background alone."""
    return ReconError(
        f"{name}: no object found in the box", found="background alone",
        fix="give a box that fits the object closely, or draw this mask by hand",
    )  # fmt: skip


def tidied(mask: np.ndarray) -> np.ndarray:
    """`mask` [H, W] of 0 and 1 without specks and small holes."""
    return 1 - _without_specks(1 - _without_specks(mask))


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """`mask` [H, W] of 0 and 1 without the parts that are much smaller than the largest."""
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # part 0 is what is not in the mask
    keep = (areas >= _SPECK * areas.max()) & (areas > 0)
    return keep[parts].astype(np.uint8)
