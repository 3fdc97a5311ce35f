from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from recon.bench.refine import as_transforms, disturbed
from recon.evaluate.poses import pose_errors
from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion
from recon.io.capture import read_capture
from recon.scene import Photo, Scene, View


def four_views(folder: Path) -> Scene:
    views = []
    for k in range(4):
        path = folder / f"{k}.png"
        Image.new("RGB", (60, 40)).save(path)
        turn = rigid.so3_exp(torch.tensor([0.1, 0.3 * k, 0.2], dtype=torch.float64))
        pose = rigid.from_rotation_translation(turn, torch.tensor([0.5 * k, 0.1, 3.0], dtype=torch.float64))
        camera = Camera.pinhole(60, 40, 70.0, 71.0, 29.0, 21.0)
        camera = replace(camera, distortion=Distortion("opencv", (0.1, -0.02, 0.003, 0.004)))
        views.append(View(path.name, camera, pose, Photo(path)))
    return Scene(tuple(views))


def test_cameras_are_disturbed_by_what_was_asked_for(tmp_path: Path) -> None:
    scene = four_views(tmp_path)
    rough = disturbed(scene, 1.0, 0.01, seed=0)
    for old, new in zip(scene.views, rough.views, strict=True):
        turn = new.world_to_camera[:3, :3] @ old.world_to_camera[:3, :3].T
        assert math.degrees(rigid.rotation_angle(turn)) == pytest.approx(1.0)
    errors = pose_errors(rough.views, scene.views)
    assert errors is not None and 0.3 < max(errors.rotation_deg) < 1.5 and 0.001 < max(errors.center) < 0.015
    assert torch.allclose(disturbed(scene, 0, 0, 0).views[2].world_to_camera, scene.views[2].world_to_camera)


def test_cameras_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    scene = four_views(tmp_path)
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "transforms.json"
    path.write_text(json.dumps(as_transforms(scene.views)), encoding="utf-8")
    for old, new in zip(scene.views, read_capture(tmp_path, path).scene.views, strict=True):
        assert new.name == old.name
        assert torch.allclose(new.world_to_camera, old.world_to_camera) and torch.allclose(new.camera.K, old.camera.K)
        assert new.camera.distortion == old.camera.distortion
