"""Every kind of broken capture gives one ReconError that names the file, the field and what to do."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import capture_formats as formats
import numpy as np
import pytest
from broken_edits import (
    Edit,
    arguments,
    both,
    cut,
    jpeg_photos,
    json_edit,
    nan_at,
    remove,
    replace_text,
    resize,
    set_array,
    set_key,
    set_matrix,
    set_rows,
    without,
)
from capture_formats import make_shots
from PIL import Image

from recon.errors import ReconError
from recon.io.capture import read_capture
from recon.io.images import load_image, prepare_view


@dataclass(frozen=True)
class Case:
    """One broken capture."""

    name: str
    format: str
    """The format it is written in before it is broken."""
    edit: Edit
    parts: Sequence[str]
    """What the message must contain."""


T, MODEL = "transforms", "sparse/0"
FRAME_2 = "transforms.json: frames[2] (images/002.png): transform_matrix"

CASES = [
    # Folders and files
    Case("no such folder", T, arguments(images="nowhere"), ["nowhere: cannot be read", "No such file", "spelling"]),
    Case("a file as folder", T, arguments(images="transforms.json"), ["transforms.json: not a photo", ".jpg"]),
    Case("no such camera file", T, arguments(images="images", cameras="t.json"), ["t.json: cannot be read"]),
    Case(
        "unknown camera file",
        T,
        arguments(images="images", cameras="images/000.png"),
        ["images/000.png: not a camera file of a known format", "transforms.json", "poses_bounds.npy"],
    ),
    Case("no cameras", T, remove("transforms.json"), ["no camera poses", "sparse/0", "poses.method: sfm"]),
    Case("an empty folder", T, remove("images", "transforms.json"), ["no photos", ".jpg", "set images"]),
    Case("zero photos", T, remove("images"), ["none of the 5 photos", "no images/000.png", "set images"]),
    Case(
        "one photo",
        T,
        remove(*(f"images/00{i}.png" for i in range(1, 5))),
        ["too few photos", "1 of 5", "at least 2", "add the photos"],
    ),
    Case("a pattern without match", T, arguments(images="images/*.jpg"), ["*.jpg: no photo matches"]),
    Case("no mask folder", T, arguments(images="images", masks="masks"), ["masks: cannot be read", "No such file"]),
    Case(
        "photos without masks",
        T,
        both(lambda folder: (folder / "masks").mkdir(), arguments(images="images", masks="masks")),
        ["masks: 5 of 5 photos have no mask", "none for 000.png", "000.png", "leave `masks` out"],
    ),
    # transforms.json
    Case("malformed JSON", T, replace_text("transforms.json", '"fl_x":', '"fl_x"'), ["transforms.json: line 4", "':'"]),
    Case("not UTF-8", T, lambda f: (f / "transforms.json").write_bytes(b"\xff\xfe{"), ["transforms.json: not a text"]),
    Case("a list", T, lambda f: (f / "transforms.json").write_text("[]") and None, ["not a JSON object", "list"]),
    Case("no frames", T, without("frames"), ["transforms.json: frames", "found None", "a list of frames"]),
    Case("empty frames", T, set_key("frames", []), ["transforms.json: lists no frames", "at least one"]),
    Case(
        "a frame without path",
        T,
        json_edit(lambda data: data["frames"][1].pop("file_path")),
        ["transforms.json: frames[1]: file_path"],
    ),
    Case(
        "a frame without pose",
        T,
        json_edit(lambda data: data["frames"][1].pop("transform_matrix")),
        ["frames[1] (images/001.png): transform_matrix is missing", "remove the frame"],
    ),
    Case("a NaN pose", T, set_matrix(nan_at(0, 3)), [FRAME_2, "not finite", "found nan", "remove the frame"]),
    Case("a scaled pose", T, set_matrix(lambda m: np.diag([2, 2, 2, 1]) @ m), [FRAME_2, "scaled by 2", "divide"]),
    Case("a sheared pose", T, set_matrix(lambda m: m + 0.1), [FRAME_2, "last row [0.1", "[0, 0, 0, 1]"]),
    Case(
        "axes that are not orthogonal",
        T,
        set_matrix(lambda m: m @ (np.eye(4) + 0.1 * np.eye(4, k=1) * [[1], [0], [0], [0]])),
        [FRAME_2, "not a rigid motion", "not orthonormal"],
    ),
    Case("a mirrored pose", T, set_matrix(lambda m: m @ np.diag([-1, 1, 1, 1])), [FRAME_2, "reflection", "negate"]),
    Case("a 3x3 pose", T, set_matrix(lambda m: m[:3, :3]), [FRAME_2, "shape [3, 3]", "4x4 or 3x4"]),
    Case(
        "a ragged pose",
        T,
        json_edit(lambda data: data["frames"][2]["transform_matrix"][1].pop()),
        [FRAME_2, "rows of equal length"],
    ),
    Case("focal length 0", T, set_key("fl_x", 0), ["transforms.json: singular intrinsics", "fx = 0", "above 0"]),
    Case("negative focal length", T, set_key("fl_y", -50.0), ["singular intrinsics", "fy = -50"]),
    Case("focal length as text", T, set_key("fl_x", "50"), ["transforms.json: fl_x", "'50'", "a finite number"]),
    Case("no focal length", T, without("fl_x", "fl_y"), ["no focal length", "fl_x", "camera_angle_x"]),
    Case(
        "a field of view in degrees",
        T,
        both(without("fl_x", "fl_y"), set_key("camera_angle_x", 60)),
        ["horizontal field of view of 60 rad", "between 0 and pi", "radians"],
    ),
    Case("a number without end", T, set_key("fl_x", 10**400), ["transforms.json: fl_x", "a finite number"]),
    Case("an infinite centre", T, set_key("cx", float("inf")), ["transforms.json: cx", "inf", "finite"]),
    Case("half a pixel", T, set_key("w", 39.5), ["transforms.json: w", "39.5", "whole number"]),
    Case("unknown model", T, set_key("camera_model", "MOEBIUS"), ["camera_model", "MOEBIUS", "one of SIMPLE_PINHOLE"]),
    Case("no pinhole", T, set_key("equirectangular", True), ["unknown camera model", "equirectangular", "undistort"]),
    Case("ambiguous k4", T, set_key("k4", 0.1), ["transforms.json: k4", "0.1", "FULL_OPENCV"]),
    Case(
        "pinhole with distortion",
        T,
        both(set_key("camera_model", "PINHOLE"), set_key("k1", 0.1)),
        ["camera_model", "PINHOLE with k1", "OPENCV"],
    ),
    Case(
        "duplicate frames",
        T,
        json_edit(lambda data: data["frames"].append(data["frames"][0])),
        ["transforms.json: duplicate frames", "images/000.png", "keep one"],
    ),
    Case(
        "a photo twice by other paths",
        T,
        json_edit(lambda data: data["frames"][1].update(file_path="./images/../images/000.png")),
        ["duplicate frames", "images/000.png"],
    ),
    Case(
        "mixed sizes",
        T,
        both(without("w", "h", "cx", "cy"), resize("images/003.png", (80, 60))),
        ["transforms.json", "mixed sizes", "40x30 (images/000.png) and 80x60 (images/003.png)", "each frame"],
    ),
    Case(
        "half-size photos",
        T,
        both(*(resize(f"images/00{i}.png", (20, 15)) for i in range(5))),
        ["transforms.json", "images/000.png", "20x15 px", "40x30 px", "downscale: 2"],
    ),
    Case("photos too large", T, resize("images/000.png", (80, 60)), ["80x60 px", "40x30", "multiply", "by 2"]),
    Case("a cropped photo", T, resize("images/000.png", (40, 20)), ["40x20 px", "cropped"]),
    Case("a turned photo", T, resize("images/000.png", (30, 40)), ["30x40 px", "turned by 90 degrees"]),
    Case("no ply", T, set_key("ply_file_path", "p.ply"), ["ply_file_path: file does not exist", "p.ply", "remove"]),
    Case(
        "no mask file",
        T,
        json_edit(lambda data: data["frames"][0].update(mask_path="m.png")),
        ["frames[0] (images/000.png): mask_path", "m.png", "remove the key"],
    ),
    Case("unknown split name", T, set_key("test_filenames", ["x.png"]), ["test_filenames", "x.png", "no frame has"]),
    Case("bad applied_transform", T, set_key("applied_transform", [[1, 2]]), ["applied_transform", "shape [1, 2]"]),
    # Photos
    Case("a truncated PNG", T, cut("images/001.png", 0.6), ["images/001.png: photo cannot be decoded", "copy"]),
    Case(
        "a truncated JPEG",
        T,
        both(jpeg_photos, cut("images/001.png", 0.6)),
        ["images/001.png: photo cannot be decoded", "truncated", "copy"],
    ),
    Case("an empty photo", T, cut("images/001.png", 0), ["images/001.png: photo cannot be decoded", "an empty file"]),
    Case(
        "no photo at all",
        T,
        lambda folder: (folder / "images/001.png").write_text("<html>404</html>") and None,
        ["images/001.png: photo cannot be decoded", "cannot identify image file"],
    ),
    Case(
        "a mask of another size",
        T,
        both(
            json_edit(lambda data: data["frames"][0].update(mask_path="m.png")),
            lambda folder: Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "m.png"),
        ),
        ["m.png: mask is not of its photo's size", "5x5", "40x30"],
    ),
    Case(
        "same stems",
        T,
        both(
            lambda folder: Image.open(folder / "images/001.png").save(folder / "images/000.bmp"),
            json_edit(lambda data: data["frames"][1].update(file_path="images/000.bmp")),
        ),
        ["differ only in their ending", "000.png", "000.bmp", "rename"],
    ),
    # COLMAP
    Case("no images.txt", "colmap-text", remove(f"{MODEL}/images.txt"), ["sparse/0: incomplete", "no images.txt"]),
    Case("no cameras.bin", "colmap-binary", remove(f"{MODEL}/cameras.bin"), ["incomplete", "no cameras.bin"]),
    *(
        Case(
            f"truncated {stem}.bin", "colmap-binary", cut(f"{MODEL}/{stem}.bin", 0.7), [f"{stem}.bin: truncated", place]
        )
        for stem, place in (("cameras", "camera 4 of 5"), ("images", "image 4 of 5"), ("points3D", "point 3 of 3"))
    ),
    Case("empty images.bin", "colmap-binary", cut(f"{MODEL}/images.bin", 0), ["images.bin: truncated", "number of"]),
    Case(
        "unknown model number",
        "colmap-binary",
        lambda f: (f / f"{MODEL}/cameras.bin").write_bytes(struct.pack("<QIiQQ", 1, 1, 17, 40, 30)) and None,
        ["cameras.bin: camera 1: unknown camera model", "number 17", "image_undistorter"],
    ),
    Case(
        "a model without a pinhole form",
        "colmap-text",
        replace_text(f"{MODEL}/cameras.txt", "1 PINHOLE", "1 FOV"),
        ["cameras.txt: line 2: camera 1: unknown camera model", "FOV", "image_undistorter"],
    ),
    Case(
        "too few parameters",
        "colmap-text",
        replace_text(f"{MODEL}/cameras.txt", "1 PINHOLE", "1 OPENCV"),
        ["cameras.txt: line 2", "OPENCV", "4 parameters", "fx fy cx cy k1 k2 p1 p2"],
    ),
    Case(
        "a word for a number",
        "colmap-text",
        replace_text(f"{MODEL}/cameras.txt", "PINHOLE 40", "PINHOLE wide"),
        ["cameras.txt: line 2: WIDTH", "'wide'", "a number"],
    ),
    Case(
        "a short line",
        "colmap-text",
        replace_text(f"{MODEL}/images.txt", " 3 002.png", ""),
        ["images.txt: line 6: CAMERA_ID is missing", "8 fields"],
    ),
    Case(
        "no such camera",
        "colmap-text",
        replace_text(f"{MODEL}/images.txt", " 3 002.png", " 33 002.png"),
        ["images.txt: line 6 (002.png): CAMERA_ID", "33", "export the whole model"],
    ),
    Case(
        "a NaN quaternion",
        "colmap-text",
        lambda f: (
            [path.write_text("\n".join(["1 nan 0 0 0 1 2 3 1 000.png", ""])) for path in [f / f"{MODEL}/images.txt"]]
            and None
        ),
        ["images.txt: line 1 (000.png): quaternion is not finite", "nan"],
    ),
    Case(
        "a quaternion of length 2",
        "colmap-text",
        lambda f: (f / f"{MODEL}/images.txt").write_text("1 2 0 0 0 1 2 3 1 000.png\n\n") and None,
        ["images.txt: line 1 (000.png): not a rigid motion", "length 2"],
    ),
    Case(
        "a colour above 255",
        "colmap-text",
        lambda f: (f / f"{MODEL}/points3D.txt").write_text("1 0 0 0 1 256 3 0.5 1 0\n") and None,
        ["points3D.txt: line 1: R G B", "'256'", "0 to 255"],
    ),
    Case(
        "an infinite point",
        "colmap-text",
        lambda f: (f / f"{MODEL}/points3D.txt").write_text("1 inf 0 0 1 2 3 0.5 1 0\n") and None,
        ["points3D.txt: a point is not finite"],
    ),
    # Blender, LLFF, DTU
    Case(
        "broken test split",
        "blender",
        lambda f: (f / "transforms_test.json").write_text("{\n\n") and None,
        ["transforms_test.json: line 3", "JSON"],
    ),
    Case("wrong columns", "llff", set_rows(lambda rows: rows[:, :15]), ["poses_bounds.npy", "[5, 15]", "[N, 17]"]),
    Case("too few rows", "llff", set_rows(lambda rows: rows[:4]), ["4 rows and 5 photos", "no names"]),
    Case("no numpy file", "llff", cut("poses_bounds.npy", 0.5), ["poses_bounds.npy: not a whole numpy file", "copy"]),
    Case(
        "NaN row",
        "llff",
        set_rows(lambda rows: rows * np.where(np.arange(5) == 1, np.nan, 1)[:, None]),
        ["poses_bounds.npy: row 1 (001.png): pose", "not finite"],
    ),
    Case("focal 0", "llff", set_rows(lambda rows: rows * (np.arange(17) != 14)), ["row 0 (000.png)", "fx = 0"]),
    Case(
        "no world_mat",
        "dtu",
        lambda f: np.savez(f / "cameras.npz", camera_mat_0=np.eye(4)),
        ["cameras.npz: not DTU cameras", "camera_mat_0", "world_mat_0"],
    ),
    Case("no zip", "dtu", cut("cameras.npz", 0.5), ["cameras.npz: not a whole numpy file"]),
    Case(
        "a projection without focal length",
        "dtu",
        set_array("cameras.npz", "world_mat_1", lambda m: np.diag([1, 0, 1, 1]) @ m),
        ["cameras.npz: world_mat_1: singular intrinsics", "determinant 0"],
    ),
    Case(
        "a NaN projection",
        "dtu",
        set_array("cameras.npz", "world_mat_1", lambda m: m * np.nan),
        ["cameras.npz: world_mat_1", "not finite"],
    ),
    Case(
        "skew",
        "dtu",
        set_array("cameras.npz", "world_mat_1", lambda m: (np.eye(4) + 0.1 * np.eye(4, k=1)) @ m),
        ["world_mat_1: skewed pixels", "rectify"],
    ),
    Case(
        "different scales",
        "dtu",
        set_array("cameras.npz", "scale_mat_1", lambda m: m * 2),
        ["scale_mat_1 differs from scale_mat_0"],
    ),
    Case(
        "extra photos",
        "dtu",
        lambda f: shutil.copy(f / "image/000.png", f / "image/zz.png") and None,
        ["cameras.npz", "5 cameras and 6 photos", "set images"],
    ),
    # Strecha
    Case("half a camera", "strecha", cut("gt_dense_cameras/001.png.camera", 0.5), ["001.png.camera: incomplete", "26"]),
    Case(
        "a size that is no number",
        "strecha",
        replace_text("gt_dense_cameras/002.png.camera", "160 120", "160 wide"),
        ["002.png.camera: not numbers", "wide"],
    ),
    # DTU again
    Case("a missing mask", "dtu", remove("mask/002.png"), ["mask: 1 of 5 photos have no mask", "002.png"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.format}: {case.name}")
def test_broken_capture(tmp_path: Path, case: Case) -> None:
    formats.WRITERS[case.format](tmp_path, make_shots())
    chosen = case.edit(tmp_path)
    with pytest.raises(ReconError) as raised:
        capture = read_capture(**({"images": tmp_path} | (chosen if isinstance(chosen, dict) else {})))
        for view in capture.scene.views:
            load_image(view)
    message = str(raised.value)
    for part in case.parts:
        assert part in message, message
    assert "\n" not in message and len(message) < 500


def test_every_case_is_its_own() -> None:
    assert len({(case.format, case.name) for case in CASES}) == len(CASES) >= 20


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the operating system: permissions do not bind a superuser."""

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ReconError, match="cannot be read: found Permission denied; run `chmod"):
        read_capture(tmp_path)


@pytest.mark.parametrize("downscale", [0.5, 0, float("nan")])
def test_enlarging_is_refused(tmp_path: Path, downscale: float) -> None:
    formats.write_transforms(tmp_path, make_shots(2))
    with pytest.raises(ReconError, match=r"downscale: found .*at least 1"):
        prepare_view(read_capture(tmp_path).scene.views[0], downscale, None, tmp_path / "out")
