"""Image metrics against closed forms, and what masks and backgrounds do to them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.evaluate.image import compare, evaluate_views, psnr
from recon.geometry.camera import Camera
from recon.io.decode import write_png
from recon.scene import Photo, View

SIZE = (40, 30)


def view(folder: Path, pixels: np.ndarray, name: str = "a.png") -> View:
    write_png(folder / name, pixels)
    camera = Camera.pinhole(pixels.shape[1], pixels.shape[0], 30.0)
    return View(name, camera, torch.eye(4, dtype=torch.float64), Photo(folder / name))


def grey(value: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


@pytest.mark.parametrize("error", [0.5, 0.1, 1e-3])
def test_psnr_of_a_constant_error(error: float) -> None:
    a = torch.full((9, 7, 3), 0.5)
    # float32 images: 0.5 + 1e-3 is right to about 1e-5 relative, that is 1e-4 dB.
    assert psnr(a, a + error) == pytest.approx(-20 * math.log10(error), abs=1e-3)


def test_psnr_of_equal_images_is_finite_and_unequal_shapes_are_refused() -> None:
    a = torch.rand(4, 4, 3)
    assert psnr(a, a) == 100.0
    with pytest.raises(ValueError, match="equal shapes"):
        psnr(a, a[:2])


def test_psnr_weight_of_ones_changes_nothing_and_zeros_leave_pixels_out() -> None:
    a, b = torch.rand(8, 8, 3), torch.rand(8, 8, 3)
    assert psnr(a, b, torch.ones(8, 8)) == pytest.approx(psnr(a, b), abs=1e-9)
    weight = torch.zeros(8, 8)
    weight[:, :3] = 1
    assert psnr(a, b, weight) == pytest.approx(psnr(a[:, :3], b[:, :3]), abs=1e-9)


def test_a_render_equal_to_the_photo_is_perfect(tmp_path: Path) -> None:
    one = view(tmp_path, grey(100))
    comparison = compare(one, torch.full((SIZE[1], SIZE[0], 3), 100 / 255), None)
    assert comparison.psnr == 100.0
    # Variances are differences of float32 means of squares, so a flat image is off by about 1e-5.
    assert comparison.ssim == pytest.approx(1.0, abs=1e-4)


def test_transparent_parts_of_a_photo_show_the_background(tmp_path: Path) -> None:
    half = np.dstack([grey(200), np.zeros((SIZE[1], SIZE[0]), np.uint8)])
    half[:, :20, 3] = 255
    rendered = torch.full((SIZE[1], SIZE[0], 3), 200 / 255)
    rendered[:, 20:] = torch.tensor([1.0, 0.0, 0.5])
    comparison = compare(view(tmp_path, half), rendered, torch.tensor([1.0, 0.0, 0.5]))
    assert comparison.psnr == 100.0


def test_masked_pixels_do_not_count(tmp_path: Path) -> None:
    half = np.dstack([grey(200), np.zeros((SIZE[1], SIZE[0]), np.uint8)])
    half[:, :20, 3] = 255
    one = view(tmp_path, half)
    rendered = torch.full((SIZE[1], SIZE[0], 3), 150 / 255)
    before = compare(one, rendered, None)
    rendered[:, 20:] = torch.rand(SIZE[1], 20, 3)
    after = compare(one, rendered, None)
    assert after.psnr == pytest.approx(before.psnr, abs=1e-9)
    assert after.psnr == pytest.approx(-20 * math.log10(50 / 255), abs=1e-3)


def test_a_mask_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    one = view(tmp_path, np.dstack([grey(200), np.zeros((SIZE[1], SIZE[0]), np.uint8)]))
    with pytest.raises(ReconError, match=r"a\.png: its mask leaves no pixel"):
        compare(one, torch.zeros(SIZE[1], SIZE[0], 3), None)


def test_metrics_are_the_means_over_views_with_photos(tmp_path: Path) -> None:
    views = [view(tmp_path, grey(100), "a.png"), view(tmp_path, grey(140), "b.png")]
    blind = View("c.png", views[0].camera, views[0].world_to_camera)
    kept: list[str] = []
    metrics = evaluate_views(
        [*views, blind],
        lambda one: torch.full((SIZE[1], SIZE[0], 3), 120 / 255),
        None,
        lambda comparison: kept.append(comparison.view.name),
    )
    assert kept == list(metrics["views"]) == ["a.png", "b.png"]
    assert metrics["psnr"] == pytest.approx(sum(one["psnr"] for one in metrics["views"].values()) / 2)
    assert evaluate_views([], lambda one: torch.zeros(1), None) == {}
