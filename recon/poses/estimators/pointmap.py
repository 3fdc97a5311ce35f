"""Poses from what a network says of where the pixels of the photos lie, made exact by matches."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.events import Progress
from recon.geometry.camera import Camera
from recon.io.frames import Skipped
from recon.io.images import Image, load_image
from recon.poses.estimators.estimator import PoseEstimate, PoseInput
from recon.poses.estimators.model_views import held_out, moved, so_far
from recon.poses.pointmap import POINTMAPS
from recon.poses.pointmap.align import Cloud, Place, camera_of, clouds, focal_of
from recon.poses.pointmap.config import PointmapConfig
from recon.poses.pointmap.model import PointmapModel, load_model
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.evidence import weigh
from recon.poses.sfm.mapping import Model, Pair
from recon.poses.sfm.pairs import match_photos
from recon.poses.sfm.photos import PhotoFeatures, read_photos
from recon.poses.sfm.rework import rework
from recon.scene.nodes import View

_STAGE = "poses"


class PointmapPoses:
    """Pointmaps in one frame, a camera for each, and bundle adjustment over the matches that fit them."""

    name = "pointmap"

    def __init__(
        self, config: PointmapConfig, sfm: SfmConfig, min_registered: int,
        load: Callable[[View], Image] = load_image,
    ) -> None:  # fmt: skip
        self.config, self.sfm, self.min_registered, self.load = config, sfm, min_registered, load

    def estimate(self, given: PoseInput) -> PoseEstimate:
        config, views = self.config, given.training()
        device = torch.device("cuda" if _on_gpu(config.device) else "cpu")
        network = load_model(config.model, POINTMAPS[config.model], config.checkpoint, device)
        found = self._clouds(network, views)
        photos = read_photos(views, self.sfm.features, self.load)
        places, focals = self._places(found, photos, given.seed)
        if len(places) < self.min_registered:
            raise ReconError(
                f"{config.model} does not bring the photos together",
                found=f"{len(places)} of {len(views)} photos whose points fit a camera",
                wanted=f"at least {self.min_registered}",
                fix="photos that overlap more, another model, or `poses.method: sfm`",
            )
        matches, repeats = match_photos(photos, self.sfm, given.seed, lambda d, n: given.events(Progress(_STAGE, d, n)))
        said = _as_model(places, focals, photos)
        shown = torch.cat([found[photo].points for photo in sorted(places)])
        given.placed(lambda: so_far(said, views, shown))
        model, refined = self._refined(said, matches)
        world, registered = moved(model, views, model.positions if refined else shown)
        out = [
            Skipped(view.name, f"{config.model} places it nowhere that its pixels fit")
            for index, view in enumerate(views) if index not in model.poses
        ]  # fmt: skip
        features = self.sfm.features.max_features
        located, missed = held_out(model, world, given.scene.split("test"), self.sfm, features, given.seed, self.load)
        evidence = weigh(model, matches, self.sfm)
        return PoseEstimate(
            replace(given.scene, views=given.in_order([*registered, *located])),
            (*out, *missed),
            f"{len(registered)} of {len(views)} photos by {config.model}",
            {
                "registered": len(registered),
                "photos": len(views),
                "repeats": len(repeats),
                "pixels_that_fit": round(statistics.median(place.fitting for place in places.values()), 3),
                "refined_by_matches": refined,
                "matches_that_fit": evidence.support,
                "focal_in_longer_sides": round(evidence.focal, 4),
                "held_out_registered": len(located),
            },
        )

    def _clouds(self, network: PointmapModel, views: Sequence[View]) -> dict[int, Cloud]:
        return clouds(network.groups([self.load(view).rgb for view in views]), self.config.cut)

    def _places(
        self, found: Mapping[int, Cloud], photos: PhotoFeatures, seed: int
    ) -> tuple[dict[int, Place], dict[int, float]]:
        """Cameras of the photos whose pixels fit one, and focal lengths in longer sides; one for each lens."""
        limit = self.config.max_error_px
        by_lens: dict[int, list[int]] = {}
        for photo in found:
            by_lens.setdefault(photos.lens_of[photo], []).append(photo)
        places, focals = {}, {}
        for lens, members in sorted(by_lens.items()):
            exif = photos.lenses[lens].exif_focal
            focal = exif or focal_of([found[photo] for photo in members], seed, limit)
            for photo in members:
                place = camera_of(found[photo], focal, seed, limit)
                if place.fitting >= self.config.min_fitting:
                    places[photo], focals[photo] = place, focal
        return places, focals

    def _refined(self, said: Model, matches: Mapping[Pair, Tensor]) -> tuple[Model, bool]:
        """The cameras that matches near the network's ones fit, where these fit more matches and all photos stay."""
        before = weigh(said, matches, self.sfm)
        model = rework(said.photos, matches, said.poses, said.cameras, self.sfm.polish)
        seen = {photo for track in model.tracks for photo, _ in track}
        if seen != set(model.poses) or weigh(model, matches, self.sfm).support <= before.support:
            return said, False
        return model, True


def _as_model(places: Mapping[int, Place], focals: Mapping[int, float], photos: PhotoFeatures) -> Model:
    """Cameras without points."""
    cameras: dict[int, Camera] = {photo: photos.lenses[photos.lens_of[photo]].camera(focals[photo]) for photo in places}
    poses = {photo: place.world_to_camera for photo, place in places.items()}
    return Model(photos, poses, cameras, torch.zeros(0, 3, dtype=torch.float64), [], 0.0)


def _on_gpu(device: str) -> bool:
    """Any: networks of others may need what only they know of a GPU."""
    return device == "cuda" or (device == "auto" and torch.cuda.is_available())
