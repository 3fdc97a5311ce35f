"""Poses that came with the photos."""

from __future__ import annotations

from recon.poses.estimators.estimator import PoseEstimate, PoseInput
from recon.poses.known import check_poses


class KnownPoses:
    """Takes them as they are, once they have been checked."""

    name = "known"

    def estimate(self, given: PoseInput) -> PoseEstimate:
        check_poses(given.scene)
        return PoseEstimate(given.scene, summary="poses as they came")
