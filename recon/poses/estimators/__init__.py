"""Where cameras come from. A new estimator is a file here and a line in `ESTIMATORS`."""

from __future__ import annotations

from collections.abc import Callable

from recon.poses.estimators.estimator import PoseEstimate, PoseEstimator, PoseInput
from recon.poses.estimators.known import KnownPoses
from recon.poses.estimators.sfm import SfmPoses
from recon.poses.sfm.config import SfmConfig

ESTIMATORS: dict[str, Callable[[SfmConfig, int], PoseEstimator]] = {
    "known": lambda config, min_registered: KnownPoses(),
    "sfm": SfmPoses,
}
"""By the name that `poses.method` gives them."""


def choose_method(method: str, posed: bool) -> tuple[str, str]:
    """The estimator that `auto` stands for, or `method` itself, and why."""
    if method != "auto":
        return method, f"poses.method is {method}"
    if posed:
        return "known", "the capture comes with poses"
    return "sfm", "the capture comes without poses"


__all__ = ["ESTIMATORS", "PoseEstimate", "PoseEstimator", "PoseInput", "choose_method"]
