"""Poses around a masked object from its outlines alone, for photos that hardly overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.events import Progress
from recon.geometry.camera import Camera
from recon.io.exif import exif_focal_px
from recon.io.frames import Skipped
from recon.io.images import Image, load_image
from recon.poses.dense.hull import HullConfig, agreement, carve, coverage
from recon.poses.estimators.estimator import PoseEstimate, PoseInput
from recon.poses.sfm.world import moved_pose, world_from_model
from recon.poses.silhouette.coherence import Orbit, Outlines, fitted, incoherence
from recon.poses.silhouette.config import SilhouetteConfig
from recon.scene.nodes import View

_LEAST = 4  # photos: three outlines agree on too much
_OPAQUE = 0.5
_TELLING = 1e-4  # incoherence of wrong cameras below which the object is round or the masks say nothing
_HULL = HullConfig(resolution=64, missing=0)
_ADVICE = (
    "photos all the way around the object, named in order, in even steps, from a little above it, with the whole object"
    " in each and exact masks; or give poses with `cameras`"
)


@dataclass(frozen=True)
class _Found:
    """A hypothesis after its fit."""

    orbit: Orbit
    forward: bool
    incoherence: float


class SilhouettePoses:
    """Rings of cameras, each fitted until outlines agree; the best one, when nothing speaks against it."""

    name = "silhouette"

    def __init__(self, config: SilhouetteConfig, load: Callable[[View], Image] = load_image) -> None:
        self.config, self.load = config, load

    def estimate(self, given: PoseInput) -> PoseEstimate:
        views = given.scene.split("train")
        images = [self.load(view) for view in views]
        masks = _masks(views, images)
        outlines = Outlines.of(masks, given.seed)
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            given.events(Progress("poses", done, total))

        focals = _focals(views, self.config)
        total = 2 * len(self.config.elevations_deg) + len(focals)
        best, rival = self._best(outlines, focals, tick)
        posed = _posed(best.orbit, views)
        cut = [torch.from_numpy(mask) for mask in masks]
        hull = carve(posed, cut, _HULL)
        filled = min(coverage(hull, view, mask) for view, mask in zip(posed, cut, strict=True))
        agreeing = agreement(hull, posed, [torch.from_numpy(image.rgb) for image in images], cut)
        self._check(best, rival, filled, agreeing)
        return PoseEstimate(
            replace(given.scene, views=tuple(posed)),
            tuple(
                Skipped(view.name, "held out, and outlines do not tell where it was taken")
                for view in given.scene.split("test")
            ),
            f"{len(posed)} photos by the outlines of the object",
            {
                "registered": len(posed),
                "photos": len(views),
                "incoherence": round(best.incoherence, 6),
                "incoherence_the_other_way_around": round(rival.incoherence, 6),
                "outlines_filled": round(filled, 3),
                "colours_that_agree": round(agreeing, 3),
                "focal_in_longer_sides": round(float(best.orbit.log_focal.exp()), 4),
            },
        )

    def _best(self, outlines: Outlines, focals: Sequence[float], tick: Callable[[], None]) -> tuple[_Found, _Found]:
        """The best hypothesis, refined, and the best one of the other direction."""
        found = []
        for forward in (True, False):
            for elevation in self.config.elevations_deg:
                sweep = 2 * math.pi if forward else -2 * math.pi
                start = Orbit.ring(outlines, sweep, math.radians(elevation), focals[0])
                found.append(_fit(start, forward, outlines, self.config.coarse_steps))
                tick()
        best = min(found, key=lambda one: one.incoherence)
        rival = min((one for one in found if one.forward != best.forward), key=lambda one: one.incoherence)
        candidates = [best]
        for focal in focals[1:]:
            start = best.orbit.with_focal(focal)
            candidates.append(_fit(start, best.forward, outlines, self.config.coarse_steps))
            tick()
        best = min(candidates, key=lambda one: one.incoherence)
        best = _fit(best.orbit, best.forward, outlines, self.config.fine_steps)
        tick()
        return best, rival

    def _check(self, best: _Found, rival: _Found, filled: float, agreeing: float) -> None:
        """Raise ReconError with all that speaks against `best`."""
        config, doubts = self.config, []
        if best.incoherence > config.max_incoherence:
            doubts.append(
                f"rays through outlines stay outside of others by {100 * best.incoherence:.2f} % of the photos' side"
                f" (at most {100 * config.max_incoherence:.2f} %)"
            )
        if rival.incoherence < max(config.min_rival * best.incoherence, _TELLING):
            doubts.append("the other direction around the object explains the outlines nearly as well")
        if filled < config.min_coverage:
            doubts.append(f"what all outlines leave room for fills {100 * filled:.0f} % of one of them")
        if agreeing < config.min_agreement:
            doubts.append("photos of one place on the object have other colours")
        if doubts:
            raise ReconError("the outlines do not tell the cameras", found="; ".join(doubts), fix=_ADVICE)


def _fit(start: Orbit, forward: bool, outlines: Outlines, steps: int) -> _Found:
    orbit = fitted(start, outlines, steps) if steps else start
    with torch.no_grad():
        return _Found(orbit, forward, float(incoherence(orbit, outlines).mean()))


def _masks(views: Sequence[View], images: Sequence[Image]) -> list[np.ndarray]:
    """Where each photo shows the object, [H, W] bool."""
    bare = [view.name for view, image in zip(views, images, strict=True) if image.alpha is None]
    masks = [image.alpha > _OPAQUE for image in images if image.alpha is not None]
    empty = [view.name for view, mask in zip(views, masks, strict=False) if not mask.any()]
    if bare or empty or len(views) < _LEAST:
        found = f"{len(views)} photos" if len(views) < _LEAST else f"no mask, or an empty one: {(bare or empty)[0]}"
        raise ReconError(
            "poses cannot be found from outlines", found=found, wanted=f"at least {_LEAST} photos with masks",
            fix="make masks with `recon mask`, or set poses.method: sfm",
        )  # fmt: skip
    return masks


def _focals(views: Sequence[View], config: SilhouetteConfig) -> tuple[float, ...]:
    """In longer sides: what the first photo's header says, else the usual ones."""
    first = views[0]
    focal = None if first.photo is None or not first.photo.path.is_file() else exif_focal_px(first.photo.path)
    return config.focals if focal is None else (focal / max(first.camera.width, first.camera.height),)


def _posed(orbit: Orbit, views: Sequence[View]) -> list[View]:
    """The views with their cameras, y up, the object in the middle and cameras at a distance of about one."""
    poses = orbit.poses().double()
    poses[:, :3, :3] = _orthonormal(poses[:, :3, :3])
    frame = world_from_model(poses, torch.zeros(1, 3, dtype=torch.float64))
    focal = float(orbit.log_focal.exp())
    posed = []
    for view, pose in zip(views, poses, strict=True):
        lens = Camera.pinhole(view.camera.width, view.camera.height, focal * max(view.camera.width, view.camera.height))
        posed.append(replace(view, camera=lens, world_to_camera=moved_pose(pose, *frame)))
    return posed


def _orthonormal(rotations: Tensor) -> Tensor:
    """Rotations to the last digit: what was computed in float32 is not quite one."""
    U, _, Vh = torch.linalg.svd(rotations)
    return U @ Vh
