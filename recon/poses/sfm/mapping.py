"""One attempt at cameras and points from matches, with COLMAP's incremental mapper set up for few photos."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.geometry.camera import Camera, Distortion
from recon.poses.colmap_database import colmap_camera, write_database
from recon.poses.features import quiet_pycolmap
from recon.poses.sfm.photos import PhotoFeatures

Pair = tuple[int, int]


@dataclass(frozen=True)
class Attempt:
    """What an attempt assumes."""

    focal: float | None
    """Focal length to begin with, in longer sides; None takes the photos' headers."""
    seed: int
    first: Pair | None = None
    """The photos to begin with; None leaves it to the mapper."""
    separate: bool = False
    """Every photo has a focal length of its own."""


@dataclass(frozen=True)
class Model:
    """Cameras and points that an attempt came to. The frame and its scale are arbitrary."""

    photos: PhotoFeatures
    poses: dict[int, Tensor]
    """[4, 4] float64 `world_to_camera` of the photos that have one, by index."""
    cameras: dict[int, Camera]
    """Their cameras, in pixels of the features, with distortion."""
    positions: Tensor
    """[P, 3] float64."""
    tracks: list[list[tuple[int, int]]]
    """For each point the (photo, keypoint) that show it."""
    error_px: float
    """Mean reprojection error."""

    @staticmethod
    def of(reconstruction: Any, photos: PhotoFeatures) -> Model:
        """What a pycolmap reconstruction holds."""
        poses, cameras = {}, {}
        for image_id in sorted(reconstruction.images):
            image = reconstruction.images[image_id]
            if image.has_pose:
                poses[image_id - 1] = torch.eye(4, dtype=torch.float64)
                poses[image_id - 1][:3] = torch.from_numpy(image.cam_from_world().matrix().copy())
                cameras[image_id - 1] = _camera(reconstruction.cameras[image.camera_id])
        points = [reconstruction.points3D[key] for key in sorted(reconstruction.points3D)]
        positions = torch.from_numpy(np.array([point.xyz for point in points]).reshape(-1, 3))
        tracks = [[(one.image_id - 1, one.point2D_idx) for one in point.track.elements] for point in points]
        error = float(reconstruction.compute_mean_reprojection_error()) if points else 0.0
        return Model(photos, poses, cameras, positions, tracks, error)

    def focal(self, photo: int) -> float:
        """Focal length in longer sides."""
        camera = self.cameras[photo]
        return float(camera.K[0, 0]) / max(camera.width, camera.height)


def two_view_geometries(
    photos: PhotoFeatures, matches: Mapping[Pair, Tensor], cameras: list[Any], seed: int
) -> dict[Pair, Any]:
    """Matches of each pair that fit one motion, as pycolmap geometries; cameras are taken as calibrated."""
    import pycolmap

    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    options.detect_watermark = False
    options.ransac.max_num_trials = 2000  # wrong matches are gone already
    found = {}
    for (i, j), pairs in matches.items():
        if len(pairs) < options.min_num_inliers:
            continue
        found[i, j] = pycolmap.estimate_two_view_geometry(
            cameras[photos.lens_of[i]], photos.features[i].pixels.numpy(), cameras[photos.lens_of[j]],
            photos.features[j].pixels.numpy(), pairs.numpy().astype(np.uint32), options,
        )  # fmt: skip
    return found


def two_view_pose(
    photos: PhotoFeatures, pair: Pair, matches: Tensor, cameras: tuple[Camera, Camera], seed: int
) -> Tensor | None:
    """[4, 4] float64 from the first camera of `pair` to the second, with a baseline of 1; None where there is none."""
    import pycolmap

    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    options.detect_watermark = False
    options.compute_relative_pose = True
    a, b = (photos.features[photo].pixels.numpy() for photo in pair)
    found = pycolmap.estimate_calibrated_two_view_geometry(
        colmap_camera(cameras[0], 1), a, colmap_camera(cameras[1], 2), b, matches.numpy().astype(np.uint32), options
    )
    motion = found.cam2_from_cam1
    length = 0.0 if motion is None else float(np.linalg.norm(motion.translation))
    if motion is None or length == 0:
        return None
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = torch.from_numpy(motion.matrix().copy())
    pose[:3, 3] /= length
    return pose


def run_attempt(photos: PhotoFeatures, matches: Mapping[Pair, Tensor], attempt: Attempt) -> Model | None:
    """Cameras and points of the largest model that the mapper finds, None when it finds none."""
    import pycolmap

    photos = photos.separate_lenses() if attempt.separate else photos
    cameras = []
    for index, lens in enumerate(photos.lenses):
        focal = lens.exif_focal if attempt.focal is None else attempt.focal
        assert focal is not None
        camera = colmap_camera(lens.camera(focal), index + 1)
        cameras.append(_simple_pinhole(camera))
    with quiet_pycolmap(), tempfile.TemporaryDirectory(prefix="recon-sfm-") as name:
        folder = Path(name)
        pycolmap.set_random_seed(attempt.seed)
        geometries = two_view_geometries(photos, matches, cameras, attempt.seed)
        pixels = [features.pixels for features in photos.features]
        write_database(folder / "database.db", cameras, photos.lens_of, pixels, geometries)
        (folder / "models").mkdir()
        models = pycolmap.incremental_mapping(
            folder / "database.db", folder, folder / "models", options=_options(attempt)
        )
    if not models:
        return None
    largest = max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()))
    return Model.of(largest, photos)


def _options(attempt: Attempt) -> Any:
    """COLMAP's defaults expect dozens of photos; few ones need two-view tracks, narrow angles and few inliers."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = torch.get_num_threads()
    options.extract_colors = False
    options.multiple_models = True
    options.max_num_models = 3
    options.min_model_size = 2
    options.min_num_matches = 10
    options.init_num_trials = 30
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = attempt.seed
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.2, 10.0
    options.triangulation.ignore_two_view_tracks = False
    options.triangulation.min_angle = 1.0
    options.mapper.filter_min_tri_angle = 1.0
    options.mapper.init_min_tri_angle = 4.0
    options.mapper.init_min_num_inliers = 30
    options.mapper.abs_pose_min_num_inliers = 15
    options.mapper.abs_pose_min_inlier_ratio = 0.1
    if attempt.first is not None:
        options.init_image_id1, options.init_image_id2 = attempt.first[0] + 1, attempt.first[1] + 1
    return options


def _simple_pinhole(camera: Any) -> Any:
    """One focal length and no distortion: few photos do not tell more until points are many."""
    import pycolmap

    return pycolmap.Camera(
        camera_id=camera.camera_id, model="SIMPLE_PINHOLE", width=camera.width, height=camera.height,
        params=[camera.params[0], camera.params[2], camera.params[3]], has_prior_focal_length=True,
    )  # fmt: skip


def _camera(camera: Any) -> Camera:
    """A pycolmap camera of one of the models above as ours."""
    params = dict(zip(camera.params_info.split(", "), camera.params, strict=True))
    fx = params["f"] if "f" in params else params["fx"]
    result = Camera.pinhole(camera.width, camera.height, fx, params.get("fy", fx), params["cx"], params["cy"])
    k = float(params.get("k", 0.0))
    if k == 0.0:
        return result
    return Camera(result.width, result.height, result.K, Distortion("opencv", (k, 0.0, 0.0, 0.0)))
