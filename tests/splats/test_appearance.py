"""Gains between photos: found from points that several see, whatever hides some of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recon_datasets import SCENES, cameras_of, render_view
from recon_datasets.truth import sample_surface

from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.scene import Points, View
from recon.splats.appearance import evened, photo_gains

GAINS = np.array([[1.3, 1.2, 1.4], [0.8, 0.85, 0.75], [1.0, 1.1, 0.9], [0.9, 0.8, 1.0]])


@pytest.fixture(scope="module")
def photos() -> tuple[list[View], dict[str, Image], Points]:
    """Four views of the table, over- and underexposed, and points of all of it: also those that a view cannot see."""
    model = SCENES["table"](0)
    cameras = cameras_of(model, 24, 160, 120, seed=0)[6:18:3]
    views, images = [], {}
    for k, (camera, gain) in enumerate(zip(cameras, GAINS, strict=True)):
        views.append(
            View(f"{k}", Camera(160, 120, torch.from_numpy(camera.K)), torch.from_numpy(camera.world_to_camera))
        )
        rgb = render_view(model, camera, samples=1).rgb.astype(np.float32) / 255
        images[f"{k}"] = Image((rgb * gain).clip(0, 1).astype(np.float32), None)
    columns = sample_surface(model, 6000, seed=0)
    positions = torch.from_numpy(np.stack([columns[axis] for axis in "xyz"], -1))
    normals = torch.from_numpy(np.stack([columns[axis] for axis in ("nx", "ny", "nz")], -1))
    return views, images, Points(positions, torch.zeros(6000, 3), normals, torch.ones(6000))


def test_gains_are_found(photos: tuple[list[View], dict[str, Image], Points]) -> None:
    views, images, points = photos
    wanted = np.log(GAINS) - np.log(GAINS).mean(0)
    found = photo_gains(views, images, points).log().numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    # Shading that moves with the viewer, and points behind others, cost some; the gains differ by up to 50 %.
    assert np.abs(found - wanted).max() < 0.04, found - wanted
    again = photo_gains(views, evened(views, images, points), points).log()
    assert float(again.abs().max()) < 0.03, "photos that are evened need no more"


def test_a_masked_pixel_says_nothing(photos: tuple[list[View], dict[str, Image], Points]) -> None:
    views, images, points = photos
    hidden = {name: Image(image.rgb, np.zeros((120, 160), np.float32)) for name, image in images.items()}
    assert torch.equal(photo_gains(views, hidden, points), torch.ones(4, 3, dtype=torch.float64))


def test_a_photo_that_shares_nothing_keeps_its_colours(photos: tuple[list[View], dict[str, Image], Points]) -> None:
    views, images, points = photos
    away = views[0].world_to_camera.clone()
    away[:3, :3] = torch.diag(torch.tensor([-1.0, 1, -1], dtype=torch.float64)) @ away[:3, :3]
    away[:3, 3] = torch.diag(torch.tensor([-1.0, 1, -1], dtype=torch.float64)) @ views[0].world_to_camera[:3, 3]
    found = photo_gains([View("0", views[0].camera, away), *views[1:]], images, points)
    assert float(found[0].log().abs().max()) < 1e-9
    assert float(found[1:].log().mean(0).abs().max()) < 1e-9


def test_a_point_behind_another_is_not_looked_at(photos: tuple[list[View], dict[str, Image], Points]) -> None:
    """Without normals, points inside of boxes and below the table would spoil the medians; depth tells them."""
    views, images, points = photos
    bare = Points(points.positions, points.colors)
    wanted = np.log(GAINS) - np.log(GAINS).mean(0)
    # A cell of 2.5 px does not tell all; with every point taken for seen the worst gain is off by 0.12.
    assert np.abs(photo_gains(views, images, bare).log().numpy() - wanted).max() < 0.08
