"""Objects cut out of procedural photos, whose masks are known."""

from __future__ import annotations

import numpy as np
import pytest
from recon_datasets import SCENES, cameras_of, render_view

from recon.errors import ReconError
from recon.poses.grabcut import Box, cut_out


def photo(index: int = 8, width: int = 200, height: int = 150) -> tuple[np.ndarray, np.ndarray, Box]:
    """A ball on the floor, its mask, and a box a little larger than it."""
    model = SCENES["sphere"](0)
    view = render_view(model, cameras_of(model, 24, width, height, seed=0)[index], samples=4)
    y, x = np.nonzero(view.mask)
    box = Box(
        max(0, x.min() / width - 0.03), max(0, y.min() / height - 0.03),
        min(1, (x.max() + 1) / width + 0.03), min(1, (y.max() + 1) / height + 0.03),
    )  # fmt: skip
    return view.rgb, view.mask, box


def overlap(found: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union."""
    return float(((found > 127) & mask).sum() / ((found > 127) | mask).sum())


def test_a_ball_is_found_in_its_box() -> None:
    rgb, mask, box = photo()
    found = cut_out(rgb, box, "a")
    assert found.shape == mask.shape and set(np.unique(found)) == {0, 255}
    in_box = np.zeros_like(mask)
    h, w = mask.shape
    in_box[round(box.top * h) : round(box.bottom * h), round(box.left * w) : round(box.right * w)] = True
    assert overlap(found, mask) > 0.9 > 0.8 > overlap(in_box * 255, mask)
    assert np.array_equal(found, cut_out(rgb, box, "a")), "the same every time"


def test_large_photos_are_cut_small_and_the_mask_has_their_size() -> None:
    rgb, mask, box = photo()
    large = rgb.repeat(6, 0).repeat(6, 1)
    found = cut_out(large, box, "a")
    assert found.shape == large.shape[:2]
    assert overlap(found, mask.repeat(6, 0).repeat(6, 1)) > 0.9


def test_specks_and_holes_go() -> None:
    rgb = np.full((90, 120, 3), 200, np.uint8)
    rgb[20:70, 30:90] = (180, 20, 20)
    rgb[44:46, 58:60] = 200  # a hole
    rgb[75:77, 100:102] = (180, 20, 20)  # a speck
    truth = np.zeros((90, 120), bool)
    truth[20:70, 30:90] = True
    assert overlap(cut_out(rgb, Box(0.1, 0.1, 0.95, 0.95), "a"), truth) == 1


@pytest.mark.parametrize(
    ("box", "message"),
    [((0.5, 0, 0.4, 1), "left < right"), ((0, 0, 1, 1.2), r"\[0, 1\]"), ((0, 0, 1, 1), "whole photo")],
)
def test_boxes_that_cannot_be(box: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(ReconError, match=message):
        cut_out(np.zeros((20, 20, 3), np.uint8), Box(*box), "a")
