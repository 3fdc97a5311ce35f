"""Small captures with exactly known cameras, written in every format that `recon.io` reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from recon.geometry import quaternion, rigid
from recon.geometry.camera import Camera, Distortion
from recon.io.colmap_model import MODEL_NAMES

GL_FROM_CV = np.diag([1.0, -1.0, -1.0, 1.0])
SCALE_MAT = np.array([[250.0, 0, 0, 13.0], [0, 250.0, 0, -40.0], [0, 0, 250.0, 600.0], [0, 0, 0, 1]])
"""DTU: normalised to millimetres."""
POINTS = np.array([[0.1, -0.2, 0.3], [-0.4, 0.25, 0.0], [0.0, 0.5, -0.1]])
COLORS = np.array([[255, 0, 10], [3, 200, 77], [128, 128, 1]], np.uint8)


@dataclass(frozen=True)
class Shot:
    """One photo and its true camera."""

    name: str
    camera: Camera
    world_to_camera: np.ndarray
    pixels: np.ndarray = field(repr=False)


def make_shots(
    count: int = 5,
    width: int = 40,
    height: int = 30,
    fx: float = 55.25,
    fy: float | None = None,
    cx: float | None = None,
    cy: float | None = None,
    distortion: Distortion | None = None,
    channels: int = 3,
) -> list[Shot]:
    """Cameras around the origin with no symmetry in their poses; the photos are smooth and all different."""
    rng = np.random.default_rng(7)
    base = Camera.pinhole(width, height, fx, fy, cx, cy)
    camera = replace(base, distortion=distortion or Distortion())
    shots = []
    for index in range(count):
        eye = torch.tensor([2.0 + 0.2 * index, 0.7 * index - 1.1, 1.3], dtype=torch.float64)
        target = torch.tensor(rng.uniform(-0.1, 0.1, 3))
        up = torch.tensor([0.1, 0.2 * index, 1.0], dtype=torch.float64)
        y, x = np.mgrid[:height, :width]
        waves = [127 + 100 * np.sin(x / (5 + c) + index) * np.cos(y / (7 - c)) for c in range(channels)]
        pixels = np.stack(waves, axis=-1).astype(np.uint8)
        shots.append(Shot(f"{index:03d}.png", camera, rigid.look_at(eye, target, up).numpy(), pixels))
    return shots


def write_photos(folder: Path, shots: Sequence[Shot]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        Image.fromarray(shot.pixels).save(folder / shot.name)


def camera_to_world_gl(shot: Shot) -> np.ndarray:
    """OpenGL axes, as Blender and nerfstudio write it."""
    return np.linalg.inv(shot.world_to_camera) @ GL_FROM_CV


def lens_json(camera: Camera) -> dict[str, Any]:
    K = camera.K
    lens: dict[str, Any] = {
        "w": camera.width, "h": camera.height, "fl_x": float(K[0, 0]), "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]), "cy": float(K[1, 2]),
    }  # fmt: skip
    if camera.distortion.model == "fisheye":
        lens["camera_model"] = "OPENCV_FISHEYE"
        lens |= dict(zip(("k1", "k2", "k3", "k4"), camera.distortion.params, strict=True))
    elif camera.distortion.params:
        names = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
        lens |= dict(zip(names, camera.distortion.params, strict=False))
        lens["camera_model"] = "FULL_OPENCV" if len(camera.distortion.params) > 5 else "OPENCV"
    return lens


def transforms(shots: Sequence[Shot], per_frame: bool = False) -> dict[str, Any]:
    frames: list[dict[str, Any]] = [
        {"file_path": f"images/{shot.name}", "transform_matrix": camera_to_world_gl(shot).tolist()} for shot in shots
    ]
    if per_frame:
        return {"frames": [frame | lens_json(shot.camera) for frame, shot in zip(frames, shots, strict=True)]}
    return lens_json(shots[0].camera) | {"frames": frames}


def write_transforms(folder: Path, shots: Sequence[Shot], per_frame: bool = False) -> None:
    write_photos(folder / "images", shots)
    (folder / "transforms.json").write_text(json.dumps(transforms(shots, per_frame), indent=1))


def write_blender(folder: Path, shots: Sequence[Shot]) -> None:
    """Even positions train, odd ones test; paths without ending."""
    for split, part in (("train", shots[0::2]), ("test", shots[1::2])):
        write_photos(folder / split, part)
        camera = part[0].camera
        data = {
            "camera_angle_x": 2 * float(torch.atan(0.5 * camera.width / camera.K[0, 0])),
            "frames": [
                {"file_path": f"./{split}/{Path(s.name).stem}", "transform_matrix": camera_to_world_gl(s).tolist()}
                for s in part
            ],
        }
        (folder / f"transforms_{split}.json").write_text(json.dumps(data))


def colmap_params(camera: Camera) -> tuple[str, list[float]]:
    K, params = camera.K, list(camera.distortion.params)
    pinhole = [float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])]
    if camera.distortion.model == "fisheye":
        return "OPENCV_FISHEYE", pinhole + params
    if not params:
        return "PINHOLE", pinhole
    return ("OPENCV", pinhole + params) if len(params) == 4 else ("FULL_OPENCV", (pinhole + params + [0.0] * 8)[:12])


def colmap_quat(shot: Shot) -> list[float]:
    return quaternion.from_matrix(torch.from_numpy(shot.world_to_camera[:3, :3].copy())).tolist()


def write_colmap_text(folder: Path, shots: Sequence[Shot]) -> None:
    """One camera per photo, in a model with rigs as newer COLMAP writes it."""
    write_photos(folder / "images", shots)
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    cameras, images = ["# Camera list"], ["# Image list"]
    for index, shot in enumerate(shots, start=1):
        name, params = colmap_params(shot.camera)
        values = " ".join(map(repr, params))
        cameras.append(f"{index} {name} {shot.camera.width} {shot.camera.height} {values}")
        pose = [*colmap_quat(shot), *shot.world_to_camera[:3, 3].tolist()]
        images += [f"{index} {' '.join(map(repr, pose))} {index} {shot.name}", "" if index % 2 else "1.5 2.5 -1"]
    points = ["# 3D points"]
    for index, (position, color) in enumerate(zip(POINTS, COLORS, strict=True), start=1):
        points.append(f"{index} {' '.join(map(repr, position.tolist()))} {' '.join(map(str, color))} 0.5 1 0 2 0")
    for stem, lines in (("cameras", cameras), ("images", images), ("points3D", points), ("rigs", ["# Rigs"])):
        (model / f"{stem}.txt").write_text("\n".join(lines) + "\n")


def write_colmap_binary(folder: Path, shots: Sequence[Shot]) -> None:
    write_photos(folder / "images", shots)
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    cameras, images = struct.pack("<Q", len(shots)), struct.pack("<Q", len(shots))
    for index, shot in enumerate(shots, start=1):
        name, params = colmap_params(shot.camera)
        size = (shot.camera.width, shot.camera.height)
        cameras += struct.pack(f"<IiQQ{len(params)}d", index, MODEL_NAMES.index(name), *size, *params)
        images += struct.pack("<I7dI", index, *colmap_quat(shot), *shot.world_to_camera[:3, 3], index)
        images += shot.name.encode() + b"\0" + struct.pack("<Q2dq", 1, 1.5, 2.5, -1)
    points = struct.pack("<Q", len(POINTS))
    for index, (position, color) in enumerate(zip(POINTS, COLORS, strict=True), start=1):
        points += struct.pack("<Q3d3BdQ4I", index, *position, *color.tolist(), 0.5, 2, 1, 0, 2, 0)
    for stem, data in (("cameras", cameras), ("images", images), ("points3D", points)):
        (model / f"{stem}.bin").write_bytes(data)


def llff_rows(shots: Sequence[Shot]) -> np.ndarray:
    rows = []
    for shot in shots:
        right, down, forward, center = np.linalg.inv(shot.world_to_camera)[:3].T
        size = [shot.camera.height, shot.camera.width, float(shot.camera.K[0, 0])]
        matrix = np.stack([down, right, -forward, center, size], axis=1)
        rows.append([*matrix.ravel(), 0.5, 9.0])
    return np.array(rows)


def write_llff(folder: Path, shots: Sequence[Shot]) -> None:
    write_photos(folder / "images", shots)
    np.save(folder / "poses_bounds.npy", llff_rows(shots))


def dtu_arrays(shots: Sequence[Shot]) -> dict[str, np.ndarray]:
    arrays = {}
    scale, shift = SCALE_MAT[0, 0], SCALE_MAT[:3, 3]
    for index, shot in enumerate(shots):
        rotation, translation = shot.world_to_camera[:3, :3], shot.world_to_camera[:3, 3]
        world_mat = np.eye(4)
        source = np.column_stack([rotation, scale * translation - rotation @ shift])
        world_mat[:3] = shot.camera.K.numpy() @ source
        arrays |= {f"world_mat_{index}": world_mat, f"scale_mat_{index}": SCALE_MAT}
    return arrays


def write_dtu(folder: Path, shots: Sequence[Shot]) -> None:
    write_photos(folder / "image", shots)
    (folder / "mask").mkdir()
    for shot in shots:
        mask = np.zeros(shot.pixels.shape[:2], np.uint8)
        mask[5:25, 10:30] = 255
        Image.fromarray(mask).save(folder / "mask" / shot.name)
    np.savez(folder / "cameras.npz", **dtu_arrays(shots))


def write_strecha(folder: Path, shots: Sequence[Shot]) -> None:
    """Cameras of images four times as large, as the benchmark's photos are passed on."""
    write_photos(folder / "images", shots)
    (folder / "gt_dense_cameras").mkdir()
    for shot in shots:
        full = shot.camera.resized(4 * shot.camera.width, 4 * shot.camera.height)
        to_camera = np.asarray(shot.world_to_camera)
        rows = [*full.K.numpy(), [0, 0, 0], *to_camera[:3, :3].T, np.linalg.inv(to_camera)[:3, 3]]
        lines = [" ".join(repr(float(value)) for value in row) for row in rows]
        text = "\n".join([*lines, f"{full.width} {full.height}"])
        (folder / "gt_dense_cameras" / f"{shot.name}.camera").write_text(text)


WRITERS: dict[str, Callable[[Path, Sequence[Shot]], None]] = {
    "transforms": write_transforms,
    "transforms-per-frame": lambda folder, shots: write_transforms(folder, shots, per_frame=True),
    "blender": write_blender,
    "colmap-text": write_colmap_text,
    "colmap-binary": write_colmap_binary,
    "llff": write_llff,
    "dtu": write_dtu,
    "strecha": write_strecha,
}
GENERAL = ("transforms", "transforms-per-frame", "colmap-text", "colmap-binary")
"""Formats that hold distortion, off-centre principal points and pixels that are not square."""
