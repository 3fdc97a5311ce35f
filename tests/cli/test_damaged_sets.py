"""Photos as people have them: one blurred, one twice, one of another place, one turned by its header, two lenses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Cli, Outcome
from PIL import Image, ImageFilter
from recon_datasets import SCENES, PinholeCamera, cameras_of, render_view

from recon.evaluate.poses import PoseErrors, pose_errors
from recon.geometry.camera import Camera
from recon.scene import View
from recon.scene.store import SceneStore

WIDTH, HEIGHT = 320, 240
ORIENTATION, TURNED_LEFT = 0x0112, 6  # EXIF: the sensor's rows ran from right to left of the upright photo


def cameras() -> list[PinholeCamera]:
    return cameras_of(SCENES["table"](0), 24, WIDTH, HEIGHT, 0, center=(0.5, 0.5))[8:13]


def picture(camera: PinholeCamera, scene: str = "table") -> Image.Image:
    return Image.fromarray(render_view(SCENES[scene](0), camera, 1).rgb)


def header() -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_LEFT
    return exif


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def poses(photos: Path, recon: Cli) -> Outcome:
    path = photos.parent / "scene.yaml"
    path.write_text("images: photos\nposes: {dense: {method: none}}\noutput: out\n")
    return recon("run", path, "--until", "poses")


def errors(photos: Path, truth: dict[str, PinholeCamera]) -> PoseErrors:
    """Of the cameras that a run found, which have to be those of `truth`."""
    found = SceneStore(photos.parent / "out").load().views
    assert {view.name for view in found} == truth.keys()
    views = [
        View(name, Camera(WIDTH, HEIGHT, torch.from_numpy(one.K)), torch.from_numpy(one.world_to_camera))
        for name, one in truth.items()
    ]
    result = pose_errors(found, views)
    assert result is not None
    return result


def test_what_cannot_be_used_is_named_and_the_rest_comes_together(photos: Path, recon: Cli) -> None:
    first, second, third, turned, blurred = cameras()
    picture(first).save(photos / "0.png")
    picture(second).save(photos / "1.png")
    picture(third).save(photos / "2.png")
    picture(turned).transpose(Image.Transpose.ROTATE_90).save(photos / "3.png", exif=header())
    picture(blurred).filter(ImageFilter.GaussianBlur(6)).save(photos / "blurred.png")
    picture(second).save(photos / "copy.png")
    picture(first, "novel").save(photos / "elsewhere.png")
    outcome = poses(photos, recon)
    assert outcome.code == 0
    said = outcome.out + outcome.err
    assert "copy.png is left out: the same photo as 1.png" in said
    assert "elsewhere.png is left out: " in said and "blurred.png is left out: " in said
    found = errors(photos, {"0.png": first, "1.png": second, "2.png": third, "3.png": turned})
    assert max(found.rotation_deg) < 1.0 and max(found.center) < 0.02


def test_photos_of_two_focal_lengths_come_together(photos: Path, recon: Cli) -> None:
    lenses = (1.0, 1.0, 1.0, 1.5, 1.5)
    truth = {
        f"{k}.png": replace(camera, K=camera.K * np.array([[by, 1, 1], [1, by, 1], [1, 1, 1]]))
        for k, (camera, by) in enumerate(zip(cameras(), lenses, strict=True))
    }
    for name, camera in truth.items():
        picture(camera).save(photos / name)
    outcome = poses(photos, recon)
    assert outcome.code == 0 and "each with a focal length of its own" in outcome.out + outcome.err
    found = errors(photos, truth)
    assert max(found.rotation_deg) < 0.5 and max(found.focal) < 0.02, "a shared one is off by 3 degrees and 27 %"
