"""Where cameras come from. A new estimator is a file here and a line in `ESTIMATORS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recon.poses.estimators.estimator import PoseEstimate, PoseEstimator, PoseInput
from recon.poses.estimators.known import KnownPoses
from recon.poses.estimators.pointmap import PointmapPoses
from recon.poses.estimators.sfm import SfmPoses
from recon.poses.estimators.silhouette import SilhouettePoses
from recon.poses.pointmap.config import PointmapConfig
from recon.poses.sfm.config import SfmConfig
from recon.poses.silhouette.config import SilhouetteConfig


@dataclass(frozen=True)
class EstimatorSettings:
    """What estimators may be told; each takes what it needs."""

    sfm: SfmConfig
    pointmap: PointmapConfig
    silhouette: SilhouetteConfig
    min_registered: int
    """With fewer photos than this there is no result."""
    mend: bool
    """Known poses may be corrected."""


ESTIMATORS: dict[str, Callable[[EstimatorSettings], PoseEstimator]] = {
    "known": lambda told: KnownPoses(told.sfm, told.mend),
    "sfm": lambda told: SfmPoses(told.sfm, told.min_registered),
    "silhouette": lambda told: SilhouettePoses(told.silhouette),
    "pointmap": lambda told: PointmapPoses(told.pointmap, told.sfm, told.min_registered),
}
"""By the name that `poses.method` gives them."""


def choose_method(method: str, posed: bool) -> tuple[str, str]:
    """The estimator that `auto` stands for, or `method` itself, and why."""
    if method != "auto":
        return method, f"poses.method is {method}"
    if posed:
        return "known", "the capture comes with poses"
    return "sfm", "the capture comes without poses"


__all__ = ["ESTIMATORS", "EstimatorSettings", "PoseEstimate", "PoseEstimator", "PoseInput", "choose_method"]
