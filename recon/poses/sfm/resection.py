"""Poses of further photos against a model that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.geometry.camera import Camera
from recon.poses.colmap_database import colmap_camera
from recon.poses.features import Features
from recon.poses.matching import match_pair
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Model

_MIN_INLIERS = 20
_MAX_ERROR_PX = 6.0


@dataclass(frozen=True)
class Resection:
    """Where a photo was taken from."""

    world_to_camera: Tensor
    """[4, 4] float64 in the model's frame."""
    inliers: int
    """Matches to the model's points that fit."""


def locate(
    model: Model, features: Features, camera: Camera, config: SfmConfig, seed: int
) -> tuple[Resection | None, int]:
    """The pose of a photo from matches with the model's photos, None where too few fit, and the number of matches.

    camera: its lens, in pixels of `features`; it is not changed. Source: COLMAP's LO-RANSAC over P3P, then refinement.
    """
    import pycolmap

    point_of = {key: index for index, track in enumerate(model.tracks) for key in track}
    pixels, positions = [], []
    for photo in sorted(model.poses):
        for mine, theirs in match_pair(features, model.photos.features[photo], None, config.match).tolist():
            index = point_of.get((photo, theirs))
            if index is not None:
                pixels.append(features.pixels[mine])
                positions.append(model.positions[index])
    if len(pixels) < _MIN_INLIERS:
        return None, len(pixels)
    estimation: Any = pycolmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error = _MAX_ERROR_PX
    estimation.ransac.random_seed = seed
    found = pycolmap.estimate_and_refine_absolute_pose(
        torch.stack(pixels).numpy(), torch.stack(positions).numpy(), colmap_camera(camera, 1), estimation
    )
    if found is None or found["num_inliers"] < _MIN_INLIERS:
        return None, len(pixels)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = torch.from_numpy(found["cam_from_world"].matrix().copy())
    return Resection(pose, int(found["num_inliers"])), len(pixels)
