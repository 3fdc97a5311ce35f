"""A COLMAP model with its photos: images/ and sparse/0, as binary or text files.

Source: colmap, doc/format.rst. Points have no tracks, for the scene does not keep who saw them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recon.geometry import quaternion
from recon.geometry.camera import Camera
from recon.io.colmap_model import MODEL_NAMES
from recon.io.formats.folders import PHOTOS, copy_photos, new_folder
from recon.io.formats.format import Format
from recon.io.intrinsics import COLMAP_PARAMS
from recon.scene import Points, Scene, View

MODEL = "sparse/0"


def write(text: bool, scene: Scene, path: Path) -> None:
    """Photos, cameras, poses and points."""
    with new_folder(path) as folder:
        photos = copy_photos(scene, folder)
        views = [view for view in scene.views if view.name in photos]
        cameras: dict[tuple[object, ...], int] = {}
        lenses = [_lens(view.camera) for view in views]
        numbers = [cameras.setdefault(lens, len(cameras) + 1) for lens in lenses]
        names = [photos[view.name][0].removeprefix(f"{PHOTOS}/") for view in views]
        model = folder / MODEL
        model.mkdir(parents=True)
        if text:
            _write_text(model, cameras, views, numbers, names, scene.points)
        else:
            _write_binary(model, cameras, views, numbers, names, scene.points)


def _lens(camera: Camera) -> tuple[object, ...]:
    """Model, width, height and parameters."""
    K, lens = camera.K.double(), camera.distortion
    if lens.model == "fisheye":
        model = "OPENCV_FISHEYE"
    elif lens.is_identity:
        model = "PINHOLE"
    else:
        model = "OPENCV" if len(lens.params) <= 4 else "FULL_OPENCV"
    values: dict[str, Any] = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    order = "k1 k2 k3 k4" if lens.model == "fisheye" else "k1 k2 p1 p2 k3 k4 k5 k6"
    values |= dict(zip(order.split(), lens.params, strict=False))
    params = [float(values.get(name, 0.0)) for name in COLMAP_PARAMS[model].split()]
    return (model, camera.width, camera.height, *params)


def _pose(view: View) -> list[float]:
    """Quaternion wxyz and translation, world to camera."""
    pose = view.world_to_camera.double()
    return [*quaternion.from_matrix(pose[:3, :3]).tolist(), *pose[:3, 3].tolist()]


def _colors(points: Points) -> np.ndarray:
    return np.rint(points.colors.numpy() * 255).clip(0, 255).astype(np.uint8)


def _write_binary(
    folder: Path, cameras: dict[tuple[object, ...], int], views: Sequence[View], numbers: Sequence[int],
    names: Sequence[str], points: Points | None,
) -> None:  # fmt: skip
    with (folder / "cameras.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(cameras)))
        for (model, width, height, *params), number in cameras.items():
            head = struct.pack("<iiQQ", number, MODEL_NAMES.index(str(model)), width, height)
            file.write(head + struct.pack(f"<{len(params)}d", *params))
    with (folder / "images.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(views)))
        for index, (view, number, name) in enumerate(zip(views, numbers, names, strict=True), 1):
            file.write(struct.pack("<i7di", index, *_pose(view), number) + name.encode() + b"\0" + struct.pack("<Q", 0))
    layout = [("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")]
    rows = np.zeros(0 if points is None else len(points.positions), layout)
    if points is not None:
        rows["id"] = np.arange(1, len(rows) + 1)
        rows["xyz"], rows["rgb"] = points.positions.numpy(), _colors(points)
    with (folder / "points3D.bin").open("wb") as file:
        file.write(struct.pack("<Q", len(rows)))
        rows.tofile(file)


def _write_text(
    folder: Path, cameras: dict[tuple[object, ...], int], views: Sequence[View], numbers: Sequence[int],
    names: Sequence[str], points: Points | None,
) -> None:  # fmt: skip
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    lines += [" ".join(map(str, (number, *lens))) for lens, number in cameras.items()]
    (folder / "cameras.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for index, (view, number, name) in enumerate(zip(views, numbers, names, strict=True), 1):
        lines += [" ".join(map(str, (index, *_pose(view), number, name))), ""]
    (folder / "images.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    with (folder / "points3D.txt").open("w", encoding="utf-8") as file:
        file.write("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n")
        if points is not None:
            rows = zip(points.positions.tolist(), _colors(points).tolist(), strict=True)
            file.writelines(f"{i} {x} {y} {z} {r} {g} {b} 0\n" for i, ((x, y, z), (r, g, b)) in enumerate(rows, 1))


FORMAT = Format(
    "colmap",
    "photos and a COLMAP model in binary files",
    partial(write, False),
    folder=True,
    splats=lambda scene: False,
)
FORMAT_TEXT = Format(
    "colmap", "photos and a COLMAP model in text files", partial(write, True), folder=True, splats=lambda scene: False
)
