"""Captures on disk: what is written is what was made, the same every time, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from recon_datasets import SCENES, cameras_of, make_capture, render_view
from recon_datasets.__main__ import main
from recon_datasets.capture import FILES, FOLDERS

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon.io.capture import read_capture
from recon.io.ply import read_points

SMALL = {"views": 9, "width": 24, "height": 18, "samples": 1, "seed": 3}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "lens", [Distortion(), Distortion("opencv", (-0.1, 0.02, 0.001, -0.002))], ids=["pinhole", "lens"]
)
def test_reads_back_with_the_cameras_it_was_made_with(tmp_path: Path, lens: Distortion) -> None:
    out = make_capture("sheet", tmp_path, center=(0.45, 0.6), distortion=lens, **SMALL)
    cameras = cameras_of(SCENES["sheet"](3), 9, 24, 18, seed=3, center=(0.45, 0.6), distortion=lens)
    scene = read_capture(out).scene
    assert [view.name for view in scene.views] == [f"{i:04d}.png" for i in range(9)]
    for view, camera in zip(scene.views, cameras, strict=True):
        pose = view.world_to_camera.numpy()
        np.testing.assert_allclose(pose, camera.world_to_camera, atol=1e-12)
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(view.camera.K.numpy(), camera.K, atol=1e-12)
        assert view.camera.distortion.is_identity == lens.is_identity
        assert view.camera.distortion.params[:4] == lens.params[:4]
        assert view.photo is not None and view.photo.mask is None
    masked = read_capture(out, cameras=out / "transforms_masked.json").scene
    assert all(view.photo is not None and view.photo.mask is not None for view in masked.views)


def test_files_hold_what_was_rendered(tmp_path: Path) -> None:
    out = make_capture("sphere", tmp_path, **SMALL)
    assert {path.name for path in out.iterdir()} == {*FOLDERS, *FILES}
    model = SCENES["sphere"](3)
    view = render_view(model, cameras_of(model, 9, 24, 18, seed=3)[4], samples=1, seed=3 * 10007 + 4)
    assert np.array_equal(iio.imread(out / "images" / "0004.png"), view.rgb)
    assert np.array_equal(iio.imread(out / "masks" / "0004.png") > 127, view.mask)
    assert np.array_equal(np.load(out / "depth" / "0004.npy"), view.depth)
    assert np.array_equal(np.load(out / "normals" / "0004.npy"), view.normal)
    millimetres = iio.imread(out / "depth" / "0004.png")
    np.testing.assert_allclose(millimetres / 1000, view.depth, atol=0.5001e-3)  # rounded to a millimetre
    points = read_points(out / "points.ply")
    assert points.normals is not None and len(points.positions) == 100_000
    on_ball = (points.positions - points.positions.new_tensor([0, 0, 0.4])).norm(dim=1)[:50_000]
    assert float((on_ball - 0.4).abs().max()) < 2e-4, "the first half lies on the object, up to its tessellation"


def test_splits_hold_out_every_eighth(tmp_path: Path) -> None:
    out = make_capture("sheet", tmp_path, **SMALL)
    splits = json.loads((out / "splits.json").read_text())
    assert splits["test"] == ["0000.png", "0008.png"] and set(splits["train"]) == {"3", "6", "7"}
    for count, names in splits["train"].items():
        assert len(set(names)) == int(count) and not set(names) & set(splits["test"])


def test_the_same_arguments_give_the_same_bytes_and_replace_an_older_capture(tmp_path: Path) -> None:
    first = files_of(make_capture("table", tmp_path / "a", **SMALL))
    assert files_of(make_capture("table", tmp_path / "b", **SMALL)) == first
    make_capture("sheet", tmp_path / "b", **{**SMALL, "views": 12})
    (tmp_path / "b" / "notes.txt").write_text("mine")
    make_capture("table", tmp_path / "b", **SMALL)
    assert files_of(tmp_path / "b") == {**first, "notes.txt": b"mine"}
    assert files_of(make_capture("table", tmp_path / "c", **{**SMALL, "seed": 4})) != first


def test_a_folder_of_other_photos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(ReconError, match="images of something else"):
        make_capture("table", tmp_path, **SMALL)
    assert files_of(tmp_path) == {"images/holiday.jpg": b"precious"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "--views", "2"], "at least 4 views"),
        (["table", "--size", "320"], "WIDTHxHEIGHT"),
        (["table", "--samples", "5"], "1, 4, 9"),
        (["corner", "--layout", "orbit"], "layout orbit"),
        (["table", "--distortion", "0.1"], "4, 5 or 8"),
        (["sheet", "--distortion", "-3", "0", "0", "0"], "no ray ends in"),
    ],
)
def test_mistakes_give_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_command_writes_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--views", "4", "--size", "16x12", "--samples", "1", "--layout", "forward", "--center", "0.5", "0.5"]
    assert main(["corner", "--out", str(tmp_path), *options]) == 0
    written = json.loads((tmp_path / "transforms.json").read_text())
    assert (written["w"], written["h"], written["cx"], written["cy"]) == (16, 12, 8, 6) and len(written["frames"]) == 4
    assert "corner" in capsys.readouterr().out
