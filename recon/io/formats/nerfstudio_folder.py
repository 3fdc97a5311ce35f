"""A nerfstudio data folder: transforms.json, images/, masks/ and the points as sparse_pc.ply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.io.formats.folders import copy_photos, new_folder, opengl_pose
from recon.io.formats.format import Format
from recon.io.ply import write_points
from recon.scene import Scene

POINTS = "sparse_pc.ply"


def write(scene: Scene, path: Path) -> None:
    """Photos, cameras, splits and points. Intrinsics are written once when all views share them."""
    with new_folder(path) as folder:
        photos = copy_photos(scene, folder)
        views = [view for view in scene.views if view.name in photos]
        lenses = [_lens(view.name, view.camera) for view in views]
        shared = all(lens == lenses[0] for lens in lenses)
        data: dict[str, Any] = {**(lenses[0] if shared else {"camera_model": lenses[0]["camera_model"]})}
        if len({lens["camera_model"] for lens in lenses}) > 1:
            raise ReconError("views with several lens models", wanted="one", fix="export --format colmap")
        frames = []
        for view, lens in zip(views, lenses, strict=True):
            photo, mask = photos[view.name]
            frame: dict[str, Any] = {"file_path": photo, "transform_matrix": opengl_pose(view).tolist()}
            if mask is not None:
                frame["mask_path"] = mask
            if not shared:
                frame |= {key: value for key, value in lens.items() if key != "camera_model"}
            frames.append(frame)
        data["frames"] = frames
        test = [photos[view.name][0] for view in views if view.split == "test"]
        if test:
            data["train_filenames"] = [photos[view.name][0] for view in views if view.split == "train"]
            data["val_filenames"] = data["test_filenames"] = test
        data |= _applied(scene)
        if scene.points is not None:
            write_points(folder / POINTS, scene.points)
            data["ply_file_path"] = POINTS
        (folder / "transforms.json").write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _lens(name: str, camera: Camera) -> dict[str, Any]:
    K, lens = camera.K.double(), camera.distortion
    data: dict[str, Any] = {
        "camera_model": "OPENCV_FISHEYE" if lens.model == "fisheye" else "OPENCV",
        "w": camera.width, "h": camera.height,
        "fl_x": float(K[0, 0]), "fl_y": float(K[1, 1]), "cx": float(K[0, 2]), "cy": float(K[1, 2]),
    }  # fmt: skip
    if any(lens.params[5:]):
        raise ReconError(
            f"view {name}: a lens that nerfstudio does not know", found="distortion with k4, k5 or k6",
            fix="run `recon run`, which undistorts the photos, or export --format colmap",
        )  # fmt: skip
    order = "k1 k2 k3 k4" if lens.model == "fisheye" else "k1 k2 p1 p2 k3"
    return data | dict(zip(order.split(), lens.params[: len(order.split())], strict=False))


def _applied(scene: Scene) -> dict[str, Any]:
    """nerfstudio's record of what was done to the source's coordinates: world = scale * (rotation @ source + shift)."""
    matrix = np.linalg.inv(scene.source_from_world.double().numpy())
    if np.array_equal(matrix, np.eye(4)):
        return {}
    scale = float(np.linalg.det(matrix[:3, :3])) ** (1 / 3)
    applied = {"applied_transform": (matrix[:3] / scale).tolist()}
    return applied | ({"applied_scale": scale} if abs(scale - 1) > 1e-12 else {})


FORMAT = Format(
    "nerfstudio", "transforms.json with photos, masks and points", write, folder=True, splats=lambda scene: False
)
