"""Record3D's export: a file `metadata` (JSON) beside the folder `rgbd` (of an .r3d file, which is a zip file) or `rgb`
(of "EXR + JPG sequence") with photos that are named by the number of their pose.

Source: the keys that the app writes and what its author says of them (github.com/marek-simonik/record3d, issues 31,
33, 36, 63, 64 and 83). Poses are quaternion xyzw and centre in metres, camera to world, with OpenGL's axes: the camera
looks down -z with y up. `K` is the first photo's, column by column; `perFrameIntrinsicCoeffs`, which newer versions
write, has fx, fy, cx, cy of each photo: stabilisation moves the principal point.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import quaternion
from recon.io.checks import brief, pixel_count
from recon.io.files import list_photos, load_json_object
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
        if len(poses) > 1 and (poses == poses[:1]).all():
            raise ReconError(
                f"{source}: poses", found=f"the same for all {len(poses)}, as in recordings of the front camera",
                wanted="a recording by the LiDAR camera",
                fix="set poses.method: sfm to estimate them",
            )  # fmt: skip
        width, height = pixel_count(data, "w", str(source)), pixel_count(data, "h", str(source))
        lenses = K[[0, 4, 6, 7]][None].repeat(len(poses), 0)
        if data.get("perFrameIntrinsicCoeffs"):
            lenses = _array(source, data["perFrameIntrinsicCoeffs"], "perFrameIntrinsicCoeffs", (len(poses), 4))
        names = {int(path.stem): path.name for path in list_photos(folder) if path.stem.isdecimal()}
        listed = [f"{folder.name}/{names.get(index, f'{index}.jpg')}" for index in range(len(poses))]
        frames = []
        for index, (name, photo) in enumerate(zip(listed, photos.find_all(listed, source.parent), strict=True)):
            fx, fy, cx, cy = lenses[index].tolist()
            lens = Intrinsics(str(source), width, height, fx=fx, fy=fy, cx=cx, cy=cy)
            pose = _world_to_camera(source, index, poses[index])
            frames.append(Frame(f"{source}: poses[{index}]", name, photo, lens, pose))
        return assemble(source, frames, photos, masks, CaptureParts(metric=True))


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
