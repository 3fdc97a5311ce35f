"""COLMAP sparse models to a capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import quaternion
from recon.io.colmap_model import ColmapImage, ColmapModel, read_model
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import from_colmap
from recon.io.photos import PHOTO_FOLDERS, MaskFolder, PhotoSet
from recon.scene import Points

MODEL_FILES = ("cameras.bin", "images.bin", "cameras.txt", "images.txt")
MODEL_FOLDERS = (".", "sparse/0", "sparse", "colmap/sparse/0", "0")
"""Where a model lies in a capture, in the order of looking. Of several models the first counts, as everywhere else."""


class ColmapReader:
    """A folder with cameras, images and perhaps points3D, as .bin or .txt."""

    name = "COLMAP"
    looks_for = "sparse/0/cameras.bin or .txt"

    def find(self, place: Path) -> Path | None:
        if place.is_file():
            return place.parent if place.name in (*MODEL_FILES, "points3D.bin", "points3D.txt") else None
        folders = (place / name for name in MODEL_FOLDERS)
        return next((folder for folder in folders if any((folder / name).is_file() for name in MODEL_FILES)), None)

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        model = read_model(source)
        listed = [image.name for image in model.images]
        found = photos.find_all(listed, _photo_base(photos, listed))
        if not any(found):
            found = photos.scaled_copies(listed)
        users = [image.camera_id for image in model.images]
        lenses = {
            number: from_colmap(
                camera.where, camera.model, camera.width, camera.height, camera.params, users.count(number) > 1
            )
            for number, camera in model.cameras.items()
            if number in users
        }
        frames = []
        for image, photo in zip(model.images, found, strict=True):
            lens = lenses.get(image.camera_id)
            if lens is None:
                raise ReconError(
                    f"{image.where}: CAMERA_ID",
                    found=image.camera_id,
                    wanted="a camera of the model",
                    fix="export the whole model again",
                )
            frames.append(Frame(image.where, image.name, photo, lens, _pose(image)))
        return assemble(source, frames, photos, masks, CaptureParts(points=_points(model)))


def _photo_base(photos: PhotoSet, listed: list[str]) -> Path:
    """The folder that image names start from: the photo folder, or the one named images inside a capture's folder."""
    if photos.folder is None:
        # For a list any base that leads to none of the files makes the names match by their end.
        return photos.files[0].parent
    candidates = [photos.folder, *(photos.folder / name for name in PHOTO_FOLDERS)]
    return next((base for base in candidates if any((base / name).is_file() for name in listed)), photos.folder)


def _pose(image: ColmapImage) -> np.ndarray:
    """[4, 4] float64 world to camera; COLMAP's axes are OpenCV's."""
    quat, translation = np.array(image.quat), np.array(image.translation)
    for name, values in (("quaternion", quat), ("translation", translation)):
        if not np.isfinite(values).all():
            raise ReconError(
                f"{image.where}: {name} is not finite",
                found=values.tolist(),
                fix="remove the image or register it again",
            )
    if abs(np.linalg.norm(quat) - 1) > 0.01:  # files with three decimals stay well below
        raise ReconError(
            f"{image.where}: not a rigid motion",
            found=f"a quaternion of length {np.linalg.norm(quat):.4g}",
            wanted="length 1",
            fix="export the model again",
        )
    pose = np.eye(4)
    pose[:3, :3] = quaternion.to_matrix(torch.from_numpy(quat)).numpy()
    pose[:3, 3] = translation
    return pose


def _points(model: ColmapModel) -> Points | None:
    if not len(model.positions):
        return None
    colors = torch.from_numpy(model.colors.astype(np.float32) / 255)
    return Points(torch.from_numpy(model.positions.astype(np.float32)), colors)
