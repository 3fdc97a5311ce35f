"""One capture written in every format reads back as the same cameras."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import capture_formats as formats
import numpy as np
import pytest
import torch
from capture_formats import Shot, make_shots
from PIL import Image

from recon.errors import ReconError
from recon.geometry.camera import Distortion, distort, project
from recon.geometry.rigid import transform_points
from recon.io.capture import Capture, read_capture
from recon.io.images import load_image
from recon.scene import View

OPENCV = Distortion("opencv", (0.1, -0.05, 0.002, -0.003))
FULL_OPENCV = Distortion("opencv", (0.1, -0.05, 0.002, -0.003, 0.01, 0.02, -0.01, 0.005))
FISHEYE = Distortion("fisheye", (0.05, -0.02, 0.01, -0.004))


def by_shot(capture: Capture, shots: list[Shot]) -> list[tuple[View, Shot]]:
    """Views beside the shots they came from, whichever folder their names carry."""
    views = {Path(view.name).name: view for view in capture.scene.views}
    assert set(views) == {shot.name for shot in shots}
    return [(views[shot.name], shot) for shot in shots]


def assert_same_cameras(capture: Capture, shots: list[Shot]) -> None:
    for view, shot in by_shot(capture, shots):
        # The only loss is a few roundings of float64 (a matrix inverse, a tangent, a projection's decomposition).
        np.testing.assert_allclose(view.world_to_camera, shot.world_to_camera, atol=1e-12)
        np.testing.assert_allclose(view.camera.K, shot.camera.K, rtol=1e-11, atol=1e-11)
        assert view.world_to_camera.dtype == view.camera.K.dtype == torch.float64
        assert (view.camera.width, view.camera.height) == (shot.camera.width, shot.camera.height)
        assert view.camera.distortion == shot.camera.distortion


@pytest.mark.parametrize("name", formats.WRITERS)
def test_cameras_and_photos_read_back(tmp_path: Path, name: str) -> None:
    shots = make_shots()
    formats.WRITERS[name](tmp_path, shots)
    capture = read_capture(tmp_path)
    assert_same_cameras(capture, shots)
    assert capture.skipped == ()
    for view, shot in by_shot(capture, shots):
        np.testing.assert_array_equal(np.rint(load_image(view).rgb * 255), shot.pixels)


def test_a_point_projects_to_the_same_pixel_in_every_format(tmp_path: Path) -> None:
    shots = make_shots()
    points = torch.from_numpy(formats.POINTS)
    pixels = {}
    for name, write in formats.WRITERS.items():
        write(tmp_path / name, shots)
        pairs = by_shot(read_capture(tmp_path / name), shots)
        pixels[name] = torch.stack(
            [project(transform_points(view.world_to_camera, points), view.camera.K) for view, _ in pairs]
        )
    for name, found in pixels.items():
        np.testing.assert_allclose(found, pixels["transforms"], atol=1e-9, err_msg=name)
    assert (pixels["transforms"] > 0).all() and (pixels["transforms"] < 40).all()


@pytest.mark.parametrize("distortion", [OPENCV, FULL_OPENCV, FISHEYE, Distortion()], ids=lambda d: d.model)
@pytest.mark.parametrize("name", formats.GENERAL)
def test_general_lenses_read_back(tmp_path: Path, name: str, distortion: Distortion) -> None:
    shots = make_shots(fx=50.5, fy=48.25, cx=23.125, cy=11.75, distortion=distortion)
    formats.WRITERS[name](tmp_path, shots)
    assert_same_cameras(read_capture(tmp_path), shots)


def test_strecha_s_cameras_fit_photos_of_a_fraction_of_their_size(tmp_path: Path) -> None:
    shots = make_shots(cx=None)
    formats.write_strecha(tmp_path, shots)
    for view, shot in zip(read_capture(tmp_path).scene.views, shots, strict=True):
        assert torch.allclose(view.camera.K, shot.camera.K)
        assert torch.allclose(view.world_to_camera, torch.as_tensor(shot.world_to_camera), atol=1e-12)


def test_dtu_keeps_off_centre_anisotropic_pinholes_any_projective_scale_and_the_way_back(tmp_path: Path) -> None:
    shots = make_shots(fx=50.5, fy=48.25, cx=23.125, cy=11.75)
    formats.write_dtu(tmp_path, shots)
    arrays = formats.dtu_arrays(shots)
    for index in range(len(shots)):
        arrays[f"world_mat_{index}"][:3] *= (-1) ** index * (index + 0.3)
    np.savez(tmp_path / "cameras.npz", **arrays)
    capture = read_capture(tmp_path)
    assert_same_cameras(capture, shots)
    np.testing.assert_array_equal(capture.scene.source_from_world, formats.SCALE_MAT)
    alpha = load_image(capture.scene.views[0]).alpha
    assert alpha is not None and alpha.sum() == 20 * 20


@pytest.mark.parametrize("name", ["colmap-text", "colmap-binary"])
def test_colmap_points(tmp_path: Path, name: str) -> None:
    formats.WRITERS[name](tmp_path, make_shots())
    points = read_capture(tmp_path).scene.points
    assert points is not None
    np.testing.assert_array_equal(points.positions, formats.POINTS.astype(np.float32))
    np.testing.assert_array_equal(np.rint(points.colors.numpy() * 255), formats.COLORS)


MODELS = {
    "SIMPLE_PINHOLE": [50.0, 21, 13],
    "PINHOLE": [50.0, 51, 21, 13],
    "SIMPLE_RADIAL": [50.0, 21, 13, 0.1],
    "RADIAL": [50.0, 21, 13, 0.1, -0.05],
    "OPENCV": [50.0, 51, 21, 13, 0.1, -0.05, 0.003, -0.002],
    "FULL_OPENCV": [50.0, 51, 21, 13, 0.1, -0.05, 0.003, -0.002, 0.01, 0.05, -0.02, 0.004],
    "OPENCV_FISHEYE": [50.0, 51, 21, 13, 0.1, -0.05, 0.01, -0.002],
    "SIMPLE_RADIAL_FISHEYE": [50.0, 21, 13, 0.1],
    "RADIAL_FISHEYE": [50.0, 21, 13, 0.1, -0.05],
}


@pytest.mark.parametrize("ending", ["text", "binary"])
def test_models_that_colmap_itself_wrote(tmp_path: Path, ending: str) -> None:
    """Every lens model: pycolmap writes and projects, we read and project."""
    pycolmap = pytest.importorskip("pycolmap")
    shots = make_shots(len(MODELS))
    formats.write_photos(tmp_path / "images", shots)
    model = pycolmap.Reconstruction()
    for index, (shot, (name, params)) in enumerate(zip(shots, MODELS.items(), strict=True), start=1):
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(camera_id=index, model=name, width=40, height=30, params=params)
        )
        image = pycolmap.Image(name=shot.name, camera_id=index, image_id=index)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(shot.world_to_camera[:3]))
    model.add_point3D(formats.POINTS[0], pycolmap.Track(), formats.COLORS[0])
    (tmp_path / "sparse/0").mkdir(parents=True)
    (model.write_text if ending == "text" else model.write_binary)(tmp_path / "sparse/0")

    capture = read_capture(tmp_path / "images")
    points = torch.from_numpy(formats.POINTS)
    for index, (view, shot) in enumerate(by_shot(capture, shots), start=1):
        np.testing.assert_allclose(view.world_to_camera, shot.world_to_camera, atol=1e-12)
        in_camera = transform_points(view.world_to_camera, points)
        observed = distort(in_camera[:, :2] / in_camera[:, 2:], view.camera.distortion)
        ours = project(torch.cat([observed, torch.ones(3, 1)], dim=1), view.camera.K)
        theirs = model.cameras[index].img_from_cam(in_camera.numpy())
        np.testing.assert_allclose(ours, theirs, atol=1e-9, err_msg=list(MODELS)[index - 1])
    assert capture.scene.points is not None and len(capture.scene.points.positions) == 1


def test_missing_photos_and_photos_without_a_pose_are_reported(tmp_path: Path) -> None:
    shots = make_shots()
    formats.write_transforms(tmp_path, shots)
    (tmp_path / "images/001.png").rename(tmp_path / "images/extra.png")
    capture = read_capture(tmp_path / "images")
    assert [view.name for view in capture.scene.views] == ["000.png", "002.png", "003.png", "004.png"]
    assert [(skip.name, "missing" in skip.reason) for skip in capture.skipped] == [
        ("images/001.png", True),
        ("extra.png", False),
    ]


def test_ways_to_name_the_photos(tmp_path: Path) -> None:
    shots = make_shots(12)
    formats.write_transforms(tmp_path, shots)
    everything = read_capture(tmp_path).scene
    assert [view.name for view in everything.views] == [f"{i:03d}.png" for i in range(12)]
    beside = read_capture(tmp_path / "images").scene
    assert [view.photo for view in beside.views] == [view.photo for view in everything.views]
    names = [view.name for view in read_capture(str(tmp_path / "images" / "00[0-4].png")).scene.views]
    assert names == [f"00{i}.png" for i in range(5)]
    chosen = read_capture([tmp_path / "images/003.png", tmp_path / "images/010.png"])
    assert [view.name for view in chosen.scene.views] == ["003.png", "010.png"]
    elsewhere = tmp_path / "elsewhere/flat"
    shutil.move(tmp_path / "images", elsewhere)
    moved = read_capture(elsewhere, cameras=tmp_path / "transforms.json").scene
    assert [view.name for view in moved.views] == [view.name for view in everything.views]


def test_one_split_folder_of_a_blender_capture_takes_no_poses_of_the_other(tmp_path: Path) -> None:
    shots = make_shots(6)
    formats.write_blender(tmp_path, shots)
    for path in (tmp_path / "test").iterdir():  # now the same file names are in both folders
        path.rename(path.with_name({"001": "000", "003": "002", "005": "004"}[path.stem] + ".png"))
    text = (tmp_path / "transforms_test.json").read_text()
    for old, new in (("001", "000"), ("003", "002"), ("005", "004")):
        text = text.replace(f"./test/{old}", f"./test/{new}")
    (tmp_path / "transforms_test.json").write_text(text)
    both = read_capture(tmp_path).scene
    assert [view.name for view in both.views] == [f"{s}/00{i}.png" for s in ("test", "train") for i in (0, 2, 4)]
    train = read_capture(tmp_path / "train").scene
    assert [(view.name, view.split) for view in train.views] == [(f"00{i}.png", "train") for i in (0, 2, 4)]
    for view, shot in zip(train.views, shots[0::2], strict=True):
        np.testing.assert_allclose(view.world_to_camera, shot.world_to_camera, atol=1e-12)


@pytest.mark.parametrize("name", ["transforms", "colmap-text", "llff"])
def test_a_folder_named_images_4_holds_photos_divided_by_4(tmp_path: Path, name: str) -> None:
    shots = make_shots(width=42, height=30, cx=None if name == "llff" else 20.0)
    formats.WRITERS[name](tmp_path, shots)
    (tmp_path / "images_4").mkdir()
    for shot in shots:
        Image.fromarray(shot.pixels).resize((10, 8)).save(tmp_path / "images_4" / shot.name)  # 10.5 x 7.5, rounded
    for view in read_capture(tmp_path / "images_4").scene.views:
        assert (view.camera.width, view.camera.height) == (10, 8)
        scale = torch.diag(torch.tensor([10 / 42, 8 / 30, 1.0], dtype=torch.float64))
        np.testing.assert_allclose(view.camera.K, scale @ shots[0].camera.K, rtol=1e-12)


def test_blender_splits_background_and_angle(tmp_path: Path) -> None:
    formats.write_blender(tmp_path / "rgba", make_shots(channels=4))
    formats.write_blender(tmp_path / "rgb", make_shots())
    capture = read_capture(tmp_path / "rgba")
    assert capture.background == (1.0, 1.0, 1.0)
    assert [view.name for view in capture.scene.split("train")] == ["000.png", "002.png", "004.png"]
    assert [view.name for view in capture.scene.split("test")] == ["001.png", "003.png"]
    assert read_capture(tmp_path / "rgb").background is None


def edit_transforms(folder: Path, **changes: object) -> None:
    path = folder / "transforms.json"
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_transforms_applied_transform_points_masks_and_listed_splits(tmp_path: Path) -> None:
    shots = make_shots()
    formats.write_transforms(tmp_path, shots)
    applied = np.array([[0.0, 1, 0, 2], [1, 0, 0, -3], [0, 0, -1, 0.5]])
    data = formats.transforms(shots)
    data["frames"][1]["mask_path"] = "m.png"
    Image.fromarray(np.full((30, 40), 128, np.uint8)).save(tmp_path / "m.png")
    (tmp_path / "p.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n1 2 3 255 0 51\n"
    )
    edit_transforms(
        tmp_path,
        frames=data["frames"],
        applied_transform=applied.tolist(),
        applied_scale=0.5,
        ply_file_path="p.ply",
        train_filenames=["images/000.png", "images/001.png"],
        test_filenames=["images/004.png"],
    )
    scene = read_capture(tmp_path).scene
    assert [(view.name, view.split) for view in scene.views] == [
        ("000.png", "train"),
        ("001.png", "train"),
        ("004.png", "test"),
    ]
    assert scene.views[1].photo is not None and scene.views[1].photo.mask == tmp_path / "m.png"
    assert scene.points is not None
    np.testing.assert_allclose(scene.points.positions, [[1, 2, 3]])
    np.testing.assert_allclose(scene.points.colors, [[1, 0, 0.2]], atol=1e-7)
    source_point = np.array([0.3, -0.4, 0.7])
    world_point = 0.5 * (applied @ [*source_point, 1])
    back = transform_points(scene.source_from_world, torch.from_numpy(world_point)[None])
    np.testing.assert_allclose(back[0], source_point, atol=1e-12)


def test_transforms_lens_keys(tmp_path: Path) -> None:
    shots = make_shots(2)
    formats.write_transforms(tmp_path, shots)
    focal = shots[0].camera.K[0, 0]
    angle_x, angle_y = (2 * float(torch.atan(0.5 * side / focal)) for side in (40, 30))
    nothing = dict.fromkeys(["w", "h", "fl_x", "fl_y", "cx", "cy"])

    edit_transforms(tmp_path, **nothing | {"camera_angle_x": angle_x, "camera_angle_y": angle_y})
    assert_same_cameras(read_capture(tmp_path), shots)
    edit_transforms(tmp_path, camera_angle_y=None)
    assert_same_cameras(read_capture(tmp_path), shots)
    edit_transforms(tmp_path, camera_angle_x=None, fl_x=float(focal))
    assert_same_cameras(read_capture(tmp_path), shots)
    edit_transforms(tmp_path, k1=0.1, camera_model="SIMPLE_RADIAL")
    assert read_capture(tmp_path).scene.views[0].camera.distortion == Distortion("opencv", (0.1, 0.0, 0.0, 0.0))
    edit_transforms(tmp_path, k1=0.1, camera_model=None, is_fisheye=True)
    assert read_capture(tmp_path).scene.views[0].camera.distortion == Distortion("fisheye", (0.1, 0.0, 0.0, 0.0))
    edit_transforms(tmp_path, k1=0.0, camera_model="OPENCV_FISHEYE", is_fisheye=None)
    assert not read_capture(tmp_path).scene.views[0].camera.distortion.is_identity


def test_rounded_rotations_are_made_rigid(tmp_path: Path) -> None:
    shots = make_shots(2)
    formats.write_transforms(tmp_path, shots)
    data = formats.transforms(shots)
    for frame in data["frames"]:
        frame["transform_matrix"] = np.round(frame["transform_matrix"], 4).tolist()
    edit_transforms(tmp_path, frames=data["frames"])
    for view, shot in by_shot(read_capture(tmp_path), shots):
        rotation = view.world_to_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
        np.testing.assert_allclose(view.world_to_camera, shot.world_to_camera, atol=3e-4)  # four decimals


def test_mask_folder(tmp_path: Path) -> None:
    shots = make_shots(4)
    formats.write_transforms(tmp_path, shots)
    masks = tmp_path / "masks"
    (masks / "images").mkdir(parents=True)
    half = np.zeros((30, 40), np.uint8)
    half[:, 20:] = 255
    Image.fromarray(half).save(masks / "000.png.png")  # COLMAP's naming
    Image.fromarray(half).save(masks / "001.png")
    Image.fromarray(half // 255).save(masks / "images" / "002.png")  # 0 and 1, below the photo's folder
    Image.fromarray(half).convert("RGB").save(masks / "003.tif")
    for view in read_capture(tmp_path, masks=masks).scene.views:
        np.testing.assert_array_equal(load_image(view).alpha, half / 255)


def llff_capture(folder: Path, shots: list[Shot], size: tuple[int, int], photos: str) -> None:
    """As LLFF's captures are passed on: the poses and COLMAP's model are of the originals, the photos are small copies
    numbered in the order of the originals' names."""
    formats.write_colmap_binary(folder, shots)
    np.save(folder / "poses_bounds.npy", formats.llff_rows(shots))
    shutil.rmtree(folder / "images")
    (folder / photos).mkdir()
    for number, shot in enumerate(shots):
        Image.fromarray(shot.pixels).resize(size).save(folder / photos / f"image{number:03d}.png")


@pytest.mark.parametrize("images", ["images_8", "."])
def test_llff_captures_with_small_copies_of_other_names(tmp_path: Path, images: str) -> None:
    shots = make_shots(width=84, height=61)  # 10.5 x 7.6
    llff_capture(tmp_path, shots, (10, 8), "images_8")
    scale = torch.diag(torch.tensor([10 / 84, 8 / 61, 1.0], dtype=torch.float64))
    for cameras in (None, tmp_path / "poses_bounds.npy"):
        views = read_capture(tmp_path / images, cameras=cameras).scene.views
        assert [view.name for view in views] == [f"image{number:03d}.png" for number in range(5)]
        for view, shot in zip(views, shots, strict=True):
            assert (view.camera.width, view.camera.height) == (10, 8)
            np.testing.assert_allclose(view.camera.K, scale @ shot.camera.K, rtol=1e-12)
            np.testing.assert_allclose(view.world_to_camera, shot.world_to_camera, atol=1e-9)


def test_llff_poses_name_the_size_of_the_originals(tmp_path: Path) -> None:
    shots = make_shots(width=84, height=61)
    llff_capture(tmp_path, shots, (10, 7), "photos")
    np.testing.assert_allclose(
        read_capture(tmp_path / "photos", cameras=tmp_path / "poses_bounds.npy").scene.views[0].camera.K[0],
        torch.diag(torch.tensor([10 / 84, 7 / 61, 1.0], dtype=torch.float64))[0] @ shots[0].camera.K,
    )
    for photo in (tmp_path / "photos").iterdir():  # cropped
        Image.open(photo).resize((10, 9)).save(photo)
    with pytest.raises(ReconError, match="10x9"):
        read_capture(tmp_path / "photos", cameras=tmp_path / "poses_bounds.npy")
