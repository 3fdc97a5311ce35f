"""Polycam's raw data and Record3D's export: made here from known cameras, and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.geometry import quaternion, rigid
from recon.io.capture import read_capture
from recon.io.decode import write_png

SIZE = (40, 30)
FX, FY, CX, CY = 35.5, 36.5, 19.0, 16.0


def poses() -> list[torch.Tensor]:
    """World to camera, OpenCV axes, no two alike; twelve of them, so that 10 must not come before 2."""
    up = torch.tensor([0.1, 1, 0], dtype=torch.float64)
    eyes = [torch.tensor([np.cos(i), 0.2 * i, 2 + np.sin(i)], dtype=torch.float64) for i in range(12)]
    return [rigid.look_at(eye, torch.tensor([0.3, 0.1, -4], dtype=torch.float64), up) for eye in eyes]


def arkit(world_to_camera: torch.Tensor) -> torch.Tensor:
    return rigid.inverse(world_to_camera) @ torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))


def write_photo(path: Path) -> None:
    write_png(path, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))


def write_polycam(folder: Path, corrected: bool) -> Path:
    prefix = "corrected_" if corrected else ""
    for index, pose in enumerate(poses()):
        matrix = arkit(pose)
        data = {f"t_{row}{column}": float(matrix[row, column]) for row in range(3) for column in range(4)}
        data |= {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": SIZE[0], "height": SIZE[1], "blur_score": 9}
        path = folder / "keyframes" / f"{prefix}cameras" / f"{index}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
        write_photo(folder / "keyframes" / f"{prefix}images" / f"{index}.png")
    return folder


def write_record3d(folder: Path) -> Path:
    rows = []
    for index, pose in enumerate(poses()):
        matrix = arkit(pose)
        w, x, y, z = quaternion.from_matrix(matrix[:3, :3]).tolist()
        rows.append([x, y, z, w, *matrix[:3, 3].tolist()])
        write_photo(folder / "rgbd" / f"{index}.png")
    data = {"w": SIZE[0], "h": SIZE[1], "K": [FX, 0, 0, 0, FY, 0, CX, CY, 1], "poses": rows, "fps": 30}
    (folder / "metadata").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("kind", ["polycam", "polycam corrected", "record3d"])
def test_cameras_come_back(tmp_path: Path, kind: str) -> None:
    folder = write_record3d(tmp_path) if kind == "record3d" else write_polycam(tmp_path, "corrected" in kind)
    places = [folder, folder / "rgbd"] if kind == "record3d" else [folder, folder / "keyframes"]
    for place in places:
        scene = read_capture(place).scene
        assert [view.name for view in scene.views] == [f"{index}.png" for index in range(12)] and scene.metric
        for view, pose in zip(scene.views, poses(), strict=True):
            torch.testing.assert_close(view.world_to_camera, pose)
            assert view.camera.K[:2].tolist() == [[FX, 0, CX], [0, FY, CY]]


def test_the_corrected_cameras_come_first(tmp_path: Path) -> None:
    write_polycam(tmp_path, False)
    write_polycam(tmp_path, True)
    path = tmp_path / "keyframes" / "cameras" / "0.json"
    path.write_text("broken")
    view = read_capture(tmp_path).scene.views[0]
    assert view.photo is not None and view.photo.path.parent.name == "corrected_images"


def test_each_photo_of_record3d_has_the_lens_and_the_pose_of_its_number(tmp_path: Path) -> None:
    folder = write_record3d(tmp_path)
    data = json.loads((folder / "metadata").read_text())
    data["perFrameIntrinsicCoeffs"] = [[FX, FY, CX + index, CY - index] for index in range(12)]
    (folder / "metadata").write_text(json.dumps(data))
    for index in (0, 3, 4):
        (folder / "rgbd" / f"{index}.png").unlink()
    capture = read_capture(folder)
    assert [view.name for view in capture.scene.views] == [f"{index}.png" for index in (1, 2, *range(5, 12))]
    assert len(capture.skipped) == 3
    for view in capture.scene.views:
        index = int(Path(view.name).stem)
        torch.testing.assert_close(view.world_to_camera, poses()[index])
        assert view.camera.K[:2, 2].tolist() == [CX + index, CY - index]


def test_what_is_not_whole_is_refused(tmp_path: Path) -> None:
    write_record3d(tmp_path)
    data = json.loads((tmp_path / "metadata").read_text())
    still = [[0, 0, 0, 1, 0, 0, 0]] * 12
    for key, value, message in (
        ("K", [1, 2], "K: found"), ("poses", [*still[1:], [0] * 7], "a quaternion of length 0"),
        ("poses", still, "in recordings of the front camera"), ("perFrameIntrinsicCoeffs", [[1] * 4], "Coeffs: found"),
    ):  # fmt: skip
        (tmp_path / "metadata").write_text(json.dumps({**data, key: value}))
        with pytest.raises(ReconError, match=message):
            read_capture(tmp_path)
    polycam = write_polycam(tmp_path / "p", False)
    path = polycam / "keyframes" / "cameras" / "5.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "t_12"}))
    with pytest.raises(ReconError, match=r"5\.json: the pose is not whole"):
        read_capture(polycam)
