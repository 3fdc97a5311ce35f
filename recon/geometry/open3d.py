"""What Open3D is best at: registration of point clouds and outliers. Needs the extra `recon[open3d]`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError

_ITERATIONS = 100


@dataclass(frozen=True)
class Registration:
    """How one cloud was laid over another."""

    target_from_source: Tensor
    """[4, 4] float64, a rigid motion or a similarity."""
    overlap: float
    """Share of the source that has a point of the target within the last reach."""
    residual: float
    """Root mean square distance of those, target units."""


def library(what: str) -> Any:
    """Open3D, which takes seconds to import. ReconError, which begins with `what`, where it is not installed."""
    if importlib.util.find_spec("open3d") is None:
        raise ReconError(f"{what} needs Open3D", fix="pip install 'recon[open3d]'")
    return importlib.import_module("open3d")


def icp(
    source: Tensor, target: Tensor, reaches: Sequence[float], *, scale: bool = False, start: Tensor | None = None
) -> Registration:
    """Lay `source` [N, 3] over `target` [M, 3] by iterated closest points (Besl & McKay 1992), point to point.

    reaches: farthest partners, target units, one after another, coarse to fine.   scale: also find the scale
    (Umeyama 1991).   start: [4, 4], where to begin; the identity when None. It finds the nearest fit, not the best.
    """
    o3d = library("ICP")
    clouds = [
        o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.ascontiguousarray(points.double().numpy())))
        for points in (source, target)
    ]
    registration = o3d.pipelines.registration
    step = registration.TransformationEstimationPointToPoint(scale)
    until = registration.ICPConvergenceCriteria(1e-9, 1e-9, _ITERATIONS)
    pose = np.eye(4) if start is None else start.double().numpy()
    found = None
    for reach in reaches:
        found = registration.registration_icp(*clouds, reach, pose, step, until)
        pose = found.transformation
    if found is None:
        raise ValueError("icp without a reach")
    return Registration(torch.from_numpy(np.array(pose)), float(found.fitness), float(found.inlier_rmse))


def inliers(points: Tensor, deviations: float, neighbors: int = 20) -> Tensor:
    """Which of `points` [N, 3] are no statistical outliers (Rusu et al. 2008), [N] bool.

    A point is one when its mean distance to its nearest `neighbors` is more than `deviations` standard deviations
    above the mean of all.
    """
    o3d = library("outlier removal")
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.ascontiguousarray(points.double().numpy())))
    _, kept = cloud.remove_statistical_outlier(neighbors, deviations)
    result = torch.zeros(len(points), dtype=torch.bool)
    result[torch.from_numpy(np.asarray(kept, np.int64))] = True
    return result
