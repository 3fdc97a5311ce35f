"""Undistortion against OpenCV's own functions and against patterns photographed through a synthetic lens."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from recon.errors import ReconError
from recon.geometry.camera import Camera, Distortion
from recon.geometry.undistort import undistorted_camera, undistortion_map
from recon.io.images import load_image, prepare_view
from recon.scene import Photo, View

LENSES = {
    "barrel": Distortion("opencv", (-0.25, 0.06, 0.0, 0.0)),
    "tangential": Distortion("opencv", (-0.1, 0.03, 0.004, -0.003)),
    "pincushion": Distortion("opencv", (0.12, 0.02, -0.001, 0.002, 0.01)),
    "rational": Distortion("opencv", (0.3, -0.1, 0.001, -0.002, 0.02, 0.4, -0.05, 0.01)),
    "fisheye": Distortion("fisheye", (-0.02, 0.01, -0.005, 0.001)),
}
WIDTH, HEIGHT = 240, 180


def camera_with(distortion: Distortion) -> Camera:
    """Off-centre principal point, pixels that are not square."""
    camera = Camera.pinhole(WIDTH, HEIGHT, 170.0, 160.0, 127.3, 83.6)
    return Camera(WIDTH, HEIGHT, camera.K, distortion)


def ideal_rays(camera: Camera) -> np.ndarray:
    """[H, W, 2] ideal normalised coordinates that each photo pixel sees: OpenCV's projection, inverted by iteration."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    K = camera.K.numpy()
    observed = (np.stack([x, y], axis=-1).reshape(-1, 2) - K[:2, 2]) / [K[0, 0], K[1, 1]]
    params, zero = np.array(camera.distortion.params), np.zeros(3)
    ideal = observed.copy()
    for _ in range(200):
        points = np.concatenate([ideal, np.ones((len(ideal), 1))], axis=1)[:, None]
        forward = cv2.fisheye.projectPoints if camera.distortion.model == "fisheye" else cv2.projectPoints
        found = forward(points, zero, zero, np.eye(3), params)[0].reshape(-1, 2)
        ideal -= found - observed
        if np.abs(found - observed).max() < 1e-12:
            break
    assert np.abs(found - observed).max() < 1e-9
    return ideal.reshape(camera.height, camera.width, 2)


@pytest.mark.parametrize("name", LENSES)
def test_map_agrees_with_opencv(name: str) -> None:
    camera = camera_with(LENSES[name])
    source, _ = undistortion_map(camera)
    K = camera.K.numpy().copy()
    K[:2, 2] -= 0.5
    params = np.array(camera.distortion.params)
    make = cv2.fisheye.initUndistortRectifyMap if name == "fisheye" else cv2.initUndistortRectifyMap
    x, y = make(K, params, np.eye(3), K, (WIDTH, HEIGHT), cv2.CV_32FC1)
    # Beyond float32 rounding of positions up to 400 px nothing differs.
    np.testing.assert_allclose(source.numpy() - 0.5, np.stack([x, y], axis=-1), atol=1e-4)


def photographed(camera: Camera, spots: np.ndarray, sigma: float = 0.011) -> np.ndarray:
    """Photo of soft round spots at ideal normalised coordinates [N, 2], as this lens records them."""
    rays = ideal_rays(camera)
    squared = ((rays[..., None, :] - spots) ** 2).sum(-1)
    return np.exp(-0.5 * squared / sigma**2).sum(-1)


@pytest.mark.parametrize("downscale", [1, 2])
@pytest.mark.parametrize("name", LENSES)
def test_spots_land_where_a_pinhole_sees_them(tmp_path: Path, name: str, downscale: int) -> None:
    camera = camera_with(LENSES[name])
    x, y = np.meshgrid(np.linspace(-0.5, 0.45, 7), np.linspace(-0.35, 0.4, 6))
    spots = np.stack([x.ravel(), y.ravel()], axis=-1)
    photo = (photographed(camera, spots) * 65535).clip(0, 65535).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    view = View("a.png", camera, torch.eye(4, dtype=torch.float64), Photo(tmp_path / "a.png"))
    ready = prepare_view(view, downscale, None, tmp_path / "out")
    assert ready.camera.distortion.is_identity
    image = load_image(ready)
    K = ready.camera.K.numpy()
    reach = 8 // downscale
    checked = 0
    for spot in spots:
        expected = spot * [K[0, 0], K[1, 1]] + K[:2, 2]
        left, top = (expected - reach).astype(int)
        box = (slice(top, top + 2 * reach + 1), slice(left, left + 2 * reach + 1))
        patch = image.rgb[..., 0][box]
        if min(left, top) < 0 or patch.shape != (2 * reach + 1,) * 2:
            continue
        if image.alpha is not None and image.alpha[box].min() < 1:
            continue
        rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]] + 0.5
        center = np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum() + [left, top]
        # The window is centred to a pixel only and cuts the tails unevenly: below 0.03 px of the tenth allowed.
        assert np.abs(center - expected).max() < 0.1, spot
        checked += 1
    assert checked >= 25


@pytest.mark.parametrize("name", ["barrel", "fisheye", "rational"])
def test_straight_lines_come_out_straight(tmp_path: Path, name: str) -> None:
    camera = camera_with(LENSES[name])
    rays = ideal_rays(camera)
    slope, offsets = 0.07, (-0.45, 0.05, 0.4)
    photo = sum(np.exp(-0.5 * ((rays[..., 0] - slope * rays[..., 1] - offset) / 0.012) ** 2) for offset in offsets)
    cv2.imwrite(str(tmp_path / "a.png"), (np.clip(photo, 0, 1) * 65535).astype(np.uint16))
    view = View("a.png", camera, torch.eye(4, dtype=torch.float64), Photo(tmp_path / "a.png"))
    grey = load_image(prepare_view(view, 1, None, tmp_path / "out")).rgb[..., 0]
    K = camera.K.numpy()
    for offset in offsets:
        rows = np.arange(20, HEIGHT - 20)
        ideal_y = (rows + 0.5 - K[1, 2]) / K[1, 1]
        expected = (slope * ideal_y + offset) * K[0, 0] + K[0, 2]
        found = []
        for row, x in zip(rows, expected, strict=True):
            columns = np.arange(int(x) - 9, int(x) + 10)
            weight = grey[row, columns]
            found.append(((columns + 0.5) * weight).sum() / weight.sum())
        assert np.abs(np.array(found) - expected).max() < 0.1


def test_the_border_that_the_lens_did_not_see_is_transparent(tmp_path: Path) -> None:
    camera = camera_with(LENSES["pincushion"])
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(tmp_path / "a.png")
    view = View("a.png", camera, torch.eye(4, dtype=torch.float64), Photo(tmp_path / "a.png"))
    image = load_image(prepare_view(view, 1, None, tmp_path / "out"))
    _, valid = undistortion_map(camera)
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, valid.numpy())
    assert 0.8 < valid.float().mean() < 0.99
    np.testing.assert_allclose(image.rgb[valid.numpy()], 200 / 255, atol=1e-6)
    # Barrel distortion squeezes the scene into the photo, so the pinhole of equal focal length is full.
    assert undistortion_map(camera_with(LENSES["barrel"]))[1].all()


def test_a_polynomial_that_folds_back_repeats_nothing() -> None:
    # x (1 - 0.5 x^2) grows up to x = sqrt(2/3) only; beyond it the same photo pixels would be shown again.
    wide = Camera(200, 200, Camera.pinhole(200, 200, 80.0).K, Distortion("opencv", (-0.5, 0.0, 0.0, 0.0)))
    source, valid = undistortion_map(wide)
    inside = ((source >= 0) & (source <= 200)).all(-1)
    radius = ((torch.arange(200) + 0.5 - 100) / 80)[:, None].expand(200, 200)
    radius = torch.hypot(radius, radius.T)
    assert bool((valid == (inside & (radius < (2 / 3) ** 0.5))).float().mean() > 0.999)
    assert bool(inside[radius > 1].any())  # without the limit they would count


def test_an_identity_lens_keeps_every_pixel_and_an_impossible_one_is_refused(tmp_path: Path) -> None:
    zero = camera_with(Distortion("opencv", (0.0,) * 4))
    source, valid = undistortion_map(zero)
    assert valid.all()
    np.testing.assert_allclose(source[3, 5], [5.5, 3.5], atol=1e-5)
    assert undistorted_camera(camera_with(LENSES["fisheye"])).distortion.is_identity

    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "a.png")
    broken = camera_with(Distortion("opencv", (5000.0, 0.0, 0.0, 0.0)))
    view = View("a.png", broken, torch.eye(4, dtype=torch.float64), Photo(tmp_path / "a.png"))
    with pytest.raises(ReconError, match=r"a\.png: undistortion leaves 1% .*5000.*check k1"):
        prepare_view(view, 1, None, tmp_path / "out")
