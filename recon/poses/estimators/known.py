"""Poses that came with the photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from recon.events import Progress
from recon.io.images import Image, load_image
from recon.poses.estimators.estimator import PoseEstimate, PoseInput
from recon.poses.known import check_poses
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mend import mend
from recon.scene.nodes import View


class KnownPoses:
    """Takes them as they are, once they have been checked; or as matches have them, when they may be corrected."""

    name = "known"

    def __init__(self, config: SfmConfig, may_mend: bool, load: Callable[[View], Image] = load_image) -> None:
        self.config, self.may_mend, self.load = config, may_mend, load

    def estimate(self, given: PoseInput) -> PoseEstimate:
        check_poses(given.scene)
        as_they_came = PoseEstimate(given.scene, summary="poses as they came")
        views = given.scene.split("train")
        if not self.may_mend or len(views) < 2:
            return as_they_came
        mended = mend(views, self.config, given.seed, self.load, lambda d, n: given.events(Progress("poses", d, n)))
        info = {"matches_that_fitted": round(mended.before, 3), "matches_that_fit": round(mended.after, 3)}
        if mended.poses is None:
            return replace(as_they_came, info=info)
        moved = dict(zip((view.name for view in views), mended.poses, strict=True))
        scene = replace(
            given.scene,
            views=tuple(
                replace(view, world_to_camera=moved.get(view.name, view.world_to_camera)) for view in given.scene.views
            ),
        )
        return PoseEstimate(scene, summary="poses adjusted to matches", info=info)
