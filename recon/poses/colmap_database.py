"""Keypoints and matches in the form that COLMAP's mappers read: a database and images with cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from recon.geometry.camera import Camera


def colmap_camera(camera: Camera, camera_id: int) -> Any:
    """A pycolmap camera: PINHOLE without distortion, else OPENCV with the lens's k1, k2, p1 and p2."""
    import pycolmap

    fx, fy, cx, cy = (float(camera.K[row, column]) for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if camera.distortion.is_identity:
        model, params = "PINHOLE", [fx, fy, cx, cy]
    else:
        model, params = "OPENCV", [fx, fy, cx, cy, *camera.distortion.params[:4]]
    return pycolmap.Camera(
        camera_id=camera_id, model=model, width=camera.width, height=camera.height, params=params,
        has_prior_focal_length=True,
    )  # fmt: skip


def write_database(
    path: Path,
    cameras: Sequence[Any],
    camera_of: Sequence[int],
    pixels: Sequence[Tensor],
    matches: Mapping[tuple[int, int], Any],
    world_to_cameras: Mapping[int, Tensor] | None = None,
) -> Any:
    """Write a COLMAP database at `path`; returns a reconstruction with the same cameras and images.

    cameras: pycolmap cameras with ids 1, 2, ...   camera_of: for each photo the index of its camera.
    pixels: keypoints [F, 2] of each photo.   matches: pycolmap two-view geometries by pair of photos.
    world_to_cameras: [4, 4] poses of the photos that have one. Ids of images are indices plus one.
    """
    import pycolmap

    reconstruction = pycolmap.Reconstruction()
    database = pycolmap.Database.open(path)
    for camera in cameras:
        reconstruction.add_camera_with_trivial_rig(camera)
        database.write_camera(camera, use_camera_id=True)
        database.write_rig(reconstruction.rig(camera.camera_id), use_rig_id=True)
    for index, keypoints in enumerate(pixels):
        values = keypoints.numpy()
        image = pycolmap.Image(
            name=f"{index + 1:06d}", keypoints=values, camera_id=camera_of[index] + 1, image_id=index + 1
        )
        pose = None if world_to_cameras is None else world_to_cameras.get(index)
        if pose is None:
            reconstruction.add_image_with_trivial_frame(image)
        else:
            reconstruction.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose[:3].numpy()))
        database.write_frame(reconstruction.frame(index + 1), use_frame_id=True)
        database.write_image(image, use_image_id=True)
        database.write_keypoints(index + 1, values.astype(np.float32))
    for (i, j), geometry in matches.items():
        if len(geometry.inlier_matches):
            database.write_two_view_geometry(i + 1, j + 1, geometry)
    database.close()
    return reconstruction


def calibrated_pair(pairs: Tensor) -> Any:
    """The two-view geometry of matches [M, 2] that are known to fit the cameras."""
    import pycolmap

    geometry = pycolmap.TwoViewGeometry()
    geometry.config = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)
    geometry.inlier_matches = pairs.numpy().astype(np.uint32)
    return geometry
