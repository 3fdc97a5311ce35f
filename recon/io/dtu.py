"""DTU scans as IDR and NeuS store them: cameras.npz with world_mat_i = K [R t] and scale_mat_i, image/ and mask/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import ROTATION_TOLERANCE, float_array
from recon.io.files import list_photos, load_arrays, shorten
from recon.io.frames import Capture, CaptureParts, Frame, assemble
from recon.io.intrinsics import Intrinsics
from recon.io.photos import MaskFolder, PhotoSet

FILE_NAMES = ("cameras.npz", "cameras_sphere.npz")
MASK_FOLDERS = ("mask", "masks")
MAX_SKEW = 1e-3
"""Largest |skew| / fx that passes for the rounding of a projection matrix; more cannot be represented."""


class DtuReader:
    """cameras.npz. World coordinates are the normalised ones, in which the object fills the unit sphere;

    `source_from_world` is scale_mat, back to millimetres.
    """

    name = "DTU (IDR, NeuS)"
    looks_for = " or ".join(FILE_NAMES)

    def find(self, place: Path) -> Path | None:
        if place.is_file():
            return place if place.suffix.lower() == ".npz" else None
        return next((place / name for name in FILE_NAMES if (place / name).is_file()), None)

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        arrays = load_arrays(source)
        numbers = sorted(int(key[10:]) for key in arrays if re.fullmatch(r"world_mat_\d+", key))
        if not numbers:
            raise ReconError(
                f"{source}: not DTU cameras", found=f"arrays {shorten(list(arrays))}", wanted="world_mat_0"
            )
        world_to_source = _scale_matrix(arrays, numbers, source)
        photo_of = _photos_by_number(source, numbers, photos.in_order())
        mask_of = {} if masks else _masks_by_number(source, photo_of)
        frames = []
        for number in numbers:
            where = f"{source}: world_mat_{number}"
            projection = _matrix(arrays[f"world_mat_{number}"], where) @ world_to_source
            lens, pose = decompose(projection[:3], where)
            photo = photo_of.get(number)
            name = photo.name if photo else f"photo {number}"
            frames.append(Frame(where, name, photo, lens, pose, mask=mask_of.get(number)))
        parts = CaptureParts(source_from_world=world_to_source)
        return assemble(source, frames, photos, masks, parts)


def decompose(projection: np.ndarray, where: str) -> tuple[Intrinsics, np.ndarray]:
    """Split [3, 4] = s K [R t], any s, into intrinsics and `world_to_camera` [4, 4].

    RQ decomposition with a positive diagonal (Hartley & Zisserman 2004, sec. 6.2.4).
    """
    left = projection[:, :3]
    determinant = np.linalg.det(left)
    if not abs(determinant) > 1e-12 * np.linalg.norm(left) ** 3:
        raise ReconError(
            f"{where}: singular intrinsics",
            found=f"determinant {determinant:.3g}",
            wanted="K [R t] with fx, fy above 0",
        )
    projection = projection * np.sign(determinant)  # the overall sign of a projection matrix means nothing
    # RQ of A from QR of the rows in reverse order.
    q, r = np.linalg.qr(projection[::-1, :3].T)
    upper, rotation = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(upper))
    upper, rotation = upper * signs, signs[:, None] * rotation
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = np.linalg.solve(upper, projection[:, 3])
    K = upper / upper[2, 2]
    if abs(K[0, 1]) > MAX_SKEW * K[0, 0]:
        raise ReconError(
            f"{where}: skewed pixels", found=f"skew {K[0, 1]:.4g} px", wanted="0", fix="rectify the photos"
        )
    lens = Intrinsics(where, fx=float(K[0, 0]), fy=float(K[1, 1]), cx=float(K[0, 2]), cy=float(K[1, 2]), shared=False)
    return lens, pose


def _matrix(value: np.ndarray, where: str) -> np.ndarray:
    matrix = float_array(value, where)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise ReconError(where, found=f"a matrix of shape {list(matrix.shape)}", wanted="4x4")
    return matrix if matrix.shape == (4, 4) else np.vstack([matrix, (0, 0, 0, 1)])


def _scale_matrix(arrays: Mapping[str, np.ndarray], numbers: list[int], source: Path) -> np.ndarray:
    """The similarity from normalised to source coordinates, one for all photos; the identity when there is none."""
    keys = [f"scale_mat_{number}" for number in numbers if f"scale_mat_{number}" in arrays]
    if not keys:
        return np.eye(4)
    first = _matrix(arrays[keys[0]], f"{source}: {keys[0]}")
    for key in keys[1:]:
        if not np.allclose(_matrix(arrays[key], f"{source}: {key}"), first, rtol=1e-6, atol=0):
            raise ReconError(f"{source}: {key} differs from {keys[0]}", wanted="one scale_mat for all photos")
    left = first[:3, :3]
    scale = np.cbrt(np.linalg.det(left))
    if not scale > 0 or np.abs(left.T @ left / scale**2 - np.eye(3)).max() > ROTATION_TOLERANCE:
        raise ReconError(
            f"{source}: {keys[0]}", found="no similarity", wanted="a uniform scale above 0 and a translation"
        )
    return first


def _photos_by_number(source: Path, numbers: list[int], files: list[Path]) -> dict[int, Path]:
    """Photos by camera number: by position when there are as many, else by the number in the file name."""
    if len(files) == len(numbers):
        return dict(zip(numbers, files, strict=True))
    by_name = {int(path.stem): path for path in files if path.stem.isdecimal()}
    if len(by_name) == len(files) and set(by_name) <= set(numbers):
        return by_name
    raise ReconError(
        f"{source}: cameras and photos do not pair up",
        found=f"{len(numbers)} cameras and {len(files)} photos ({shorten([path.name for path in files], 3)})",
        wanted="one photo for each camera, or photos named by camera number",
        fix="set images to the folder with the photos of the scan",
    )


def _masks_by_number(source: Path, photo_of: Mapping[int, Path]) -> dict[int, Path]:
    """Masks in the folder beside the cameras, by the photo's stem or its number; none when there is no folder."""
    folder = next((source.parent / name for name in MASK_FOLDERS if (source.parent / name).is_dir()), None)
    if folder is None:
        return {}
    files = list_photos(folder)
    by_stem = {path.stem: path for path in files}
    by_number = {int(path.stem): path for path in files if path.stem.isdecimal()}
    found = {number: by_stem.get(photo.stem) or by_number.get(number) for number, photo in photo_of.items()}
    without = [photo_of[number].name for number, mask in found.items() if mask is None]
    if without:
        raise ReconError(
            f"{folder}: {len(without)} of {len(found)} photos have no mask",
            found=f"none for {shorten(without)}",
            fix="add the masks or rename the folder to leave them out",
        )
    return {number: mask for number, mask in found.items() if mask is not None}
