"""Poses from the photos alone, by structure from motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from recon.errors import ReconError
from recon.events import Progress
from recon.io.frames import Skipped
from recon.io.images import Image, load_image
from recon.poses.estimators.estimator import PoseEstimate, PoseInput
from recon.poses.estimators.model_views import held_out, moved, so_far
from recon.poses.sfm.adjust import adjust
from recon.poses.sfm.advice import advice, advice_for_left_out, reason_left_out
from recon.poses.sfm.bridge import bridged
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.evidence import weigh
from recon.poses.sfm.mapping import Model, Pair
from recon.poses.sfm.pairs import match_photos
from recon.poses.sfm.photos import PhotoFeatures, read_photos
from recon.poses.sfm.polish import polish
from recon.poses.sfm.search import Found, doubts, search
from recon.scene.nodes import View

_STAGE = "poses"


class SfmPoses:
    """Keypoints, matches, many attempts at a model, the one that the evidence speaks for, and its adjustment."""

    name = "sfm"

    def __init__(self, config: SfmConfig, min_registered: int, load: Callable[[View], Image] = load_image) -> None:
        self.config, self.min_registered, self.load = config, min_registered, load

    def estimate(self, given: PoseInput) -> PoseEstimate:
        config, views = self.config, given.training()
        features = config.features
        if len(views) > config.many_photos:
            features = replace(features, max_features=features.max_features // 2)
        photos = read_photos(views, features, self.load)

        def progress(done: int, total: int) -> None:
            given.events(Progress(_STAGE, done, total))

        matches, repeats = match_photos(photos, config, given.seed, progress)

        def better(model: Model) -> None:
            given.placed(lambda: so_far(model, views, model.positions))

        found = search(photos, matches, config, given.seed, progress, better)
        best = self._checked(photos, matches, found)
        whole, matches, bridges = bridged(best.model, matches, config.polish, given.seed, progress)
        model = polish(adjust(whole, matches, given.seed), config.polish)
        world, registered = moved(model, views, model.positions)
        out = [
            Skipped(
                photos.names[index],
                f"the same photo as {photos.names[repeats[index]]}"
                if index in repeats
                else reason_left_out(index, photos, matches),
            )
            for index in range(len(views))
            if index not in model.poses
        ]
        located, missed = held_out(
            model, world, given.scene.split("test"), config, features.max_features, given.seed, self.load
        )
        apart = [index for index in range(len(views)) if index not in model.poses and index not in repeats]
        evidence = weigh(model, matches, config)
        return PoseEstimate(
            replace(given.scene, views=given.in_order([*registered, *located])),
            (*out, *missed),
            f"{len(registered)} of {len(views)} photos by structure from motion"
            + (", each with a focal length of its own" if best.attempt.separate else ""),
            {
                "registered": len(registered),
                "photos": len(views),
                "matches_that_fit": evidence.support,
                "points": len(model.positions),
                "median_angle_deg": round(evidence.angle_deg, 2),
                "reprojection_error_px": round(model.error_px, 3),
                "focal_in_longer_sides": round(evidence.focal, 4),
                "focal_from": "exif" if photos.lenses[0].exif_focal is not None else "photos",
                "attempts": len(found),
                "attempts_that_agree": best.evidence.agreeing,
                "came_by_few_keypoints": {photos.names[one.photo]: one.shared for one in bridges},
                "held_out_registered": len(located),
            },
            advice_for_left_out(apart, photos, matches),
        )

    def _checked(self, photos: PhotoFeatures, matches: Mapping[Pair, Tensor], found: Sequence[Found]) -> Found:
        """The best result, if it can be believed."""
        reasons = ["no pair of photos has enough matches to begin with"]
        for one in found:
            if one.evidence.registered < self.min_registered:
                continue
            reasons = doubts(one.evidence, self.config)
            if not reasons:
                return one
            break
        else:
            if found:
                reasons = [f"only {found[0].evidence.registered} photos come together"]
        raise ReconError(
            "the photos do not come together",
            found="\n" + advice(photos, matches, reasons, self.config),
            fix="give poses with `cameras`, or add photos and run again",
        )
