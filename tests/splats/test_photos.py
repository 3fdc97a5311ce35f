from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera, Distortion
from recon.io.images import Image
from recon.scene import Photo, View
from recon.splats.photos import training_photos


def view(width: int, height: int, distortion: Distortion | None = None) -> View:
    K = torch.tensor([[50.0, 0, 20], [0, 60, 31], [0, 0, 1]], dtype=torch.float64)
    camera = Camera(width, height, K, distortion or Distortion())
    return View("a.png", camera, torch.eye(4, dtype=torch.float64), Photo(Path("a.png")))


def ramp(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x / width, y / height, np.full_like(x, 0.25)], axis=-1)


def test_levels_halve_the_photo_and_its_camera() -> None:
    one = view(40, 60)
    levels = training_photos([one], {"a.png": Image(ramp(40, 60), None)}, (4, 2, 1), min_side=8, coverage=False)
    assert [(photos[0].width, photos[0].height) for photos in levels] == [(10, 15), (20, 30), (40, 60)]
    assert torch.allclose(levels[0][0].K, torch.tensor([[12.5, 0, 5], [0, 15, 7.75], [0, 0, 1]]))
    # An area average keeps the mean of every block, here of a linear ramp.
    full = torch.from_numpy(ramp(40, 60))
    assert torch.allclose(levels[1][0].rgb, full.unflatten(0, (30, 2)).unflatten(2, (20, 2)).mean((1, 3)), atol=1e-6)
    assert torch.equal(levels[2][0].rgb, full)


def test_photos_do_not_shrink_below_the_least_side() -> None:
    one = view(40, 60)
    (photos,) = training_photos([one], {"a.png": Image(ramp(40, 60), None)}, (8,), min_side=20, coverage=False)
    assert (photos[0].width, photos[0].height) == (20, 30)


def test_alpha_as_coverage_composites_on_the_background() -> None:
    alpha = np.zeros((60, 40), np.float32)
    alpha[:, :20] = 1
    alpha[:, 20] = 0.25
    (photos,) = training_photos([view(40, 60)], {"a.png": Image(ramp(40, 60), alpha)}, (1,), 8, coverage=True)
    background = torch.tensor([0.1, 0.5, 0.9])
    target = photos[0].target(background)
    assert photos[0].weight is None
    assert torch.equal(target[:, :20], torch.from_numpy(ramp(40, 60))[:, :20])
    assert torch.allclose(target[:, 21:], background.expand(60, 19, 3))
    assert torch.allclose(target[:, 20], 0.25 * torch.from_numpy(ramp(40, 60))[:, 20] + 0.75 * background)


def test_alpha_as_weight_keeps_masked_colours_out_of_the_average() -> None:
    rgb = np.full((60, 40, 3), 0.3, np.float32)
    alpha = np.ones((60, 40), np.float32)
    rgb[:, 20:], alpha[:, 20:] = 1.0, 0.0
    rgb[:, 19], alpha[:, 19] = 1.0, 0.0
    (photos,) = training_photos([view(40, 60)], {"a.png": Image(rgb, alpha)}, (2,), 8, coverage=False)
    assert photos[0].alpha is None
    assert torch.allclose(photos[0].rgb[:, :10], torch.full((30, 10, 3), 0.3))
    assert photos[0].weight is not None
    assert torch.allclose(photos[0].weight[0], torch.tensor([1.0] * 9 + [0.5] + [0.0] * 10))


def test_a_photo_of_another_size_is_named() -> None:
    with pytest.raises(ReconError, match=r"a\.png: K is for 40x60.*38x60"):
        training_photos([view(40, 60)], {"a.png": Image(ramp(38, 60), None)}, (1,), 8, coverage=False)


def test_a_distorted_camera_is_refused() -> None:
    lens = Distortion("opencv", (0.1, 0.0, 0.0, 0.0))
    with pytest.raises(ReconError, match="distortion"):
        training_photos([view(40, 60, lens)], {"a.png": Image(ramp(40, 60), None)}, (1,), 8, coverage=False)
