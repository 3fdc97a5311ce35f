"""nerfstudio's and instant-ngp's transforms.json: OpenGL camera-to-world matrices, intrinsics shared or per frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon.io.checks import brief, number, pixel_count, rigid_matrix
from recon.io.files import load_json_object
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import COLMAP_PARAMS, Intrinsics, make_distortion, unknown_model
from recon.io.photos import MaskFolder, PhotoSet
from recon.io.ply import read_points
from recon.scene.nodes import Split

_LENS_KEYS = (
    "w", "h", "fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "cx", "cy",
    "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "camera_model", "is_fisheye",
)  # fmt: skip
_OTHER_LENSES = ("ftheta_p0", "latlong", "equirectangular", "orthographic")
"""instant-ngp's keys for projections that are no pinhole."""


@dataclass(frozen=True)
class RawFrame:
    """A frame of one JSON file before its photo is looked up."""

    where: str
    listed: str
    intrinsics: Intrinsics
    world_to_camera: np.ndarray
    mask: Path | None

    def with_photo(self, photo: Path | None, split: Split) -> Frame:
        """The frame that `assemble` takes."""
        return Frame(self.where, self.listed, photo, self.intrinsics, self.world_to_camera, split, self.mask)


class TransformsReader:
    """One transforms.json."""

    name = "nerfstudio or instant-ngp"
    looks_for = "transforms.json"

    def find(self, place: Path) -> Path | None:
        if place.is_file():
            return place if place.suffix.lower() == ".json" else None
        source = place / "transforms.json"
        return source if source.is_file() else None

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        data = load_json_object(source)
        raw = read_frames(data, source)
        found = photos.find_all([frame.listed for frame in raw], source.parent)
        splits = _listed_splits(data, source, [frame.listed for frame in raw])
        frames = [
            one.with_photo(photo, split)
            for one, photo, split in zip(raw, found, splits, strict=True)
            if split is not None
        ]
        ply = data.get("ply_file_path")
        points = read_points(_path(source, ply, f"{source}: ply_file_path")) if ply else None
        parts = CaptureParts(points=points, source_from_world=_source_from_world(data, str(source)))
        return assemble(source, frames, photos, masks, parts)


def read_frames(data: Mapping[str, Any], source: Path) -> list[RawFrame]:
    """The frames of a parsed file, in its order, with poses in OpenCV axes."""
    entries = data.get("frames")
    if not isinstance(entries, list):
        raise ReconError(
            f"{source}: frames", found=brief(entries), wanted="a list of frames", fix="export the file again"
        )
    shared = _intrinsics(data, str(source), shared=True)
    frames = []
    for index, entry in enumerate(entries):
        where = f"{source}: frames[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise ReconError(f"{where}: file_path", found=brief(entry), wanted="the path of a photo")
        where += f" ({entry['file_path']})"
        if "transform_matrix" not in entry:
            raise ReconError(f"{where}: transform_matrix is missing", fix="remove the frame or add its pose")
        own = {key: entry[key] for key in _LENS_KEYS if key in entry}
        intrinsics = _intrinsics({**_shared_part(data, own), **own}, where, shared=False) if own else shared
        camera_to_world = rigid_matrix(entry["transform_matrix"], f"{where}: transform_matrix")
        mask = entry.get("mask_path")
        frames.append(
            RawFrame(
                where,
                entry["file_path"],
                intrinsics,
                world_to_camera_from_opengl(camera_to_world),
                _path(source, mask, f"{where}: mask_path") if mask else None,
            )
        )
    return frames


def world_to_camera_from_opengl(camera_to_world: np.ndarray) -> np.ndarray:
    """OpenCV `world_to_camera` [4, 4] of a rigid camera-to-world matrix whose camera looks down -z with y up."""
    rotation = camera_to_world[:3, :3] * (1.0, -1.0, -1.0)
    result = np.eye(4)
    result[:3, :3] = rotation.T
    result[:3, 3] = -rotation.T @ camera_to_world[:3, 3]
    return result


def _shared_part(data: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Shared lens keys that a frame's own leave in force: its field of view replaces the shared focal length."""
    dropped = {"fl_x", "fl_y"} if "camera_angle_x" in own else set()
    return {key: data[key] for key in _LENS_KEYS if key in data and key not in dropped}


def _intrinsics(data: Mapping[str, Any], where: str, shared: bool) -> Intrinsics:
    for key in _OTHER_LENSES:
        if data.get(key):
            raise unknown_model(f"{where}: {key}", key)
    focal_x, focal_y = number(data, "fl_x", where), number(data, "fl_y", where)
    return Intrinsics(
        where,
        pixel_count(data, "w", where),
        pixel_count(data, "h", where),
        fx=focal_x if focal_x is not None else focal_y,
        fy=focal_y,
        angle_x=number(data, "camera_angle_x", where),
        angle_y=number(data, "camera_angle_y", where),
        cx=number(data, "cx", where),
        cy=number(data, "cy", where),
        distortion=_distortion(data, where),
        shared=shared,
    )


def _distortion(data: Mapping[str, Any], where: str) -> Distortion:
    values = {key: number(data, key, where) or 0.0 for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")}
    model = data.get("camera_model") or ("OPENCV_FISHEYE" if data.get("is_fisheye") else "OPENCV")
    if model == "PERSPECTIVE":  # nerfstudio's own name for it
        model = "OPENCV"
    if model not in COLMAP_PARAMS:
        raise unknown_model(f"{where}: camera_model", str(model))
    if model == "OPENCV" and values["k4"] and not (values["k5"] or values["k6"]):
        # nerfstudio's rays take k4 as the factor of r^8, OpenCV as the first of a denominator.
        raise ReconError(
            f"{where}: k4",
            found=f"{values['k4']:g} with camera_model OPENCV, which has no fixed meaning",
            wanted="k4 = 0, or FULL_OPENCV or OPENCV_FISHEYE",
            fix="set camera_model to the lens that was calibrated",
        )
    if model.endswith("PINHOLE") and any(values.values()):
        named = ", ".join(key for key, value in values.items() if value)
        raise ReconError(
            f"{where}: camera_model", found=f"{model} with {named}", fix="set camera_model to OPENCV or remove them"
        )
    return make_distortion(model, values)


def _path(source: Path, value: object, field: str) -> Path:
    """A file that the JSON names, from its folder; it must exist."""
    if not isinstance(value, str):
        raise ReconError(field, found=brief(value), wanted="a path")
    path = source.parent / value
    if not path.is_file():
        raise ReconError(f"{field}: file does not exist", found=path, fix="restore the file or remove the key")
    return path


def _listed_splits(data: Mapping[str, Any], source: Path, listed: Sequence[str]) -> list[Split | None]:
    """nerfstudio's train_filenames, val_filenames and test_filenames; None for a frame in none of them.

    val stands in for test where there is no test list.
    """
    lists: dict[str, list[str]] = {}
    for key in ("train_filenames", "val_filenames", "test_filenames"):
        names = data.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ReconError(f"{source}: {key}", found=brief(names), wanted="a list of file_path values")
        unknown = sorted(set(names) - set(listed))
        if unknown:
            raise ReconError(f"{source}: {key}", found=f"{unknown[0]}, which no frame has", fix="remove the name")
        lists[key] = names
    if not any(lists.values()):
        return ["train"] * len(listed)
    train = set(lists["train_filenames"])
    test = set(lists["test_filenames"] or lists["val_filenames"])
    both = sorted(train & test)
    if both:
        raise ReconError(f"{source}: train_filenames and test_filenames overlap", found=both[0], fix="list it once")
    return ["train" if name in train else "test" if name in test else None for name in listed]


def _source_from_world(data: Mapping[str, Any], where: str) -> np.ndarray:
    """Inverse of `applied_transform` and `applied_scale`, which nerfstudio applied to the coordinates of its source."""
    result = np.eye(4)
    if data.get("applied_transform") is not None:
        applied = rigid_matrix(data["applied_transform"], f"{where}: applied_transform")
        result[:3, :3] = applied[:3, :3].T
        result[:3, 3] = -applied[:3, :3].T @ applied[:3, 3]
    scale = number(data, "applied_scale", where)
    if scale is not None:
        if scale <= 0:
            raise ReconError(f"{where}: applied_scale", found=scale, wanted="a number above 0")
        result[:3, :3] /= scale
    return result
