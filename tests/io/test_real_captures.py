"""The real captures that RECON_DATA points to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFile

from recon.geometry import rigid
from recon.geometry.camera import project
from recon.io.capture import read_capture
from recon.io.exif import exif_focal_px
from recon.io.images import load_image, prepare_view
from recon.io.splits import assign_splits

pytestmark = pytest.mark.data


@pytest.mark.parametrize("start", ["fox", "fox/images"])
def test_fox_is_read_from_headers(recon_data: Path, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    capture = read_capture(recon_data / start)
    assert len(capture.scene.views) == 50
    assert len(capture.skipped) == 17
    assert all("missing" in skip.reason for skip in capture.skipped)
    camera = capture.scene.views[0].camera
    assert (camera.width, camera.height) == (1080, 1920)
    expected = [[1375.52, 0, 554.558], [0, 1374.49, 965.268], [0, 0, 1]]
    np.testing.assert_array_equal(camera.K, expected)
    assert camera.distortion.params == (0.0578421, -0.0805099, -0.000980296, 0.00015575)


def test_fox_cameras_look_at_one_place(recon_data: Path) -> None:
    """A wrong axis would send the lines of sight apart: their nearest point is in front of and within every photo."""
    views = read_capture(recon_data / "fox").scene.views
    forward = torch.stack([view.world_to_camera[2, :3] for view in views])
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    centers = torch.stack([view.center for view in views])
    target = torch.linalg.solve(across.sum(0), (across @ centers[..., None]).sum(0))[:, 0]
    for view in views:
        in_camera = rigid.transform_points(view.world_to_camera, target[None])[0]
        x, y = project(in_camera, view.camera.K).tolist()
        assert in_camera[2] > 0 and 0 < x < 1080 and 0 < y < 1920


def test_fox_prepared_at_a_quarter(recon_data: Path, tmp_path: Path) -> None:
    view = read_capture(recon_data / "fox").scene.views[0]
    ready = prepare_view(view, 4, None, tmp_path)
    assert (ready.camera.width, ready.camera.height) == (270, 480)
    np.testing.assert_allclose(ready.camera.K, np.diag([0.25, 0.25, 1]) @ view.camera.K.numpy(), rtol=1e-15)
    image = load_image(ready)
    assert image.rgb.shape == (480, 270, 3)
    assert image.alpha is not None  # the lens spreads the scene by up to 1 % at the border
    assert 0.97 < image.alpha.mean() < 0.999
    assert (image.alpha[8:-8, 8:-8] == 1).all()


def test_fox_splits_follow_the_rules_of_the_file(recon_data: Path) -> None:
    """The list of every size is what `every-8` and even spreading give."""
    scene = read_capture(recon_data / "fox").scene
    path = recon_data / "fox" / "splits.json"
    listed = json.loads(path.read_text())
    for size, names in listed["train"].items():
        from_file = assign_splits(scene, int(size), None, path)
        from_rule = assign_splits(scene, int(size), "every-8")
        for result in (from_file, from_rule):
            assert [view.name for view in result.split("train")] == names
            assert [view.name for view in result.split("test")] == listed["test"]


def test_lego(recon_data: Path) -> None:
    capture = read_capture(recon_data / "lego")
    assert len(capture.scene.split("train")) == 8
    assert len(capture.scene.split("test")) == 25
    assert capture.background == (1.0, 1.0, 1.0)
    assert capture.skipped == ()
    view = capture.scene.views[0]
    focal = 200 / np.tan(0.6911112070083618 / 2)
    np.testing.assert_allclose(view.camera.K, [[focal, 0, 200], [0, focal, 200], [0, 0, 1]])
    for view in capture.scene.views:  # all look at the model at the origin from a distance of 4
        np.testing.assert_allclose(view.world_to_camera[:3, 3], [0, 0, 4.0311], atol=1e-3)
    alpha = load_image(view).alpha
    assert alpha is not None and 0.1 < alpha.mean() < 0.6


def test_photos_without_exif_have_no_focal_length(recon_data: Path) -> None:
    assert exif_focal_px(recon_data / "fox/images/0001.jpg") is None
