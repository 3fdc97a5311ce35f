"""Record3D's export: a file `metadata` (JSON) beside the folder `rgbd` or `rgb` with numbered photos.

Source: the keys that the app writes. `K` is column by column; poses are quaternion xyzw and centre, camera to world,
with ARKit's axes: the camera looks down -z with y up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import quaternion
from recon.io.checks import brief, pixel_count
from recon.io.files import list_photos, load_json_object, natural_key
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet
from recon.io.transforms_json import world_to_camera_from_opengl

_FOLDERS = ("rgbd", "rgb")
_NAMES = ("metadata", "metadata.json")


class Record3dReader:
    """The file `metadata`, or the folder that holds it."""

    name = "Record3D"
    looks_for = "metadata beside rgbd/"

    def find(self, place: Path) -> Path | None:
        places = [place] if place.name in _NAMES else [place / name for name in _NAMES]
        return next((one for one in places if one.is_file() and _photo_folder(one) is not None), None)

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        data = load_json_object(source)
        folder = _photo_folder(source)
        assert folder is not None
        K, poses = _array(source, data.get("K"), "K", (9,)), _array(source, data.get("poses"), "poses", (-1, 7))
        names = sorted((path.name for path in list_photos(folder)), key=natural_key)
        if len(names) != len(poses):
            raise ReconError(
                f"{source}: poses and photos do not pair up",
                found=f"{len(poses)} poses and {len(names)} photos in {folder.name}",
                wanted="one photo a pose",
                fix="export the recording again",
            )
        fx, _, _, _, fy, _, cx, cy, _ = K.tolist()
        width, height = pixel_count(data, "w", str(source)), pixel_count(data, "h", str(source))
        lens = Intrinsics(str(source), width, height, fx=fx, fy=fy, cx=cx, cy=cy, shared=True)
        listed = [f"{folder.name}/{name}" for name in names]
        frames = [
            Frame(f"{source}: poses[{index}]", name, photo, lens, _world_to_camera(source, index, pose))
            for index, (name, photo, pose) in enumerate(
                zip(listed, photos.find_all(listed, source.parent), poses, strict=True)
            )
        ]
        return assemble(source, frames, photos, masks, CaptureParts())


def _photo_folder(source: Path) -> Path | None:
    return next((source.parent / name for name in _FOLDERS if (source.parent / name).is_dir()), None)


def _world_to_camera(source: Path, index: int, pose: np.ndarray) -> np.ndarray:
    quat = pose[[3, 0, 1, 2]]
    if abs(np.linalg.norm(quat) - 1) > 0.01:
        raise ReconError(
            f"{source}: poses[{index}]", found=f"a quaternion of length {np.linalg.norm(quat):.4g}", wanted="length 1"
        )
    camera_to_world = np.eye(4)
    camera_to_world[:3, :3] = quaternion.to_matrix(torch.from_numpy(quat)).numpy()
    camera_to_world[:3, 3] = pose[4:]
    return world_to_camera_from_opengl(camera_to_world)


def _array(source: Path, value: object, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        result = np.array(value, np.float64)
        if not np.isfinite(result).all():
            raise ValueError
        return result.reshape(shape)
    except (TypeError, ValueError):
        raise ReconError(f"{source}: {name}", found=brief(value), wanted=f"finite numbers, {list(shape)}") from None
