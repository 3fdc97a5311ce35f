"""Known cameras that matches contradict: adjusted to these, in the frame that they came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.poses.features import Features, extract_features
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.evidence import fits
from recon.poses.sfm.mapping import Model, Pair
from recon.poses.sfm.pairs import match_photos
from recon.poses.sfm.photos import Lens, PhotoFeatures
from recon.poses.sfm.rework import rework
from recon.poses.sfm.world import moved_pose
from recon.scene.nodes import View

_GOOD = 0.7  # share of matches that fit cameras which are left alone: true ones have 0.9, those off by a degree 0.1


@dataclass(frozen=True)
class Mended:
    """What matches say of known cameras."""

    before: float
    """Share of matches that fit them as they came."""
    after: float
    """And as they are now."""
    poses: list[Tensor] | None
    """[4, 4] `world_to_camera` of each view where they changed; None where they are good or matches know no better."""


def mend(
    views: Sequence[View], config: SfmConfig, seed: int, load: Callable[[View], Image],
    progress: Callable[[int, int], None],
) -> Mended:  # fmt: skip
    """Adjust the poses of `views` to the matches between their photos, unless these fit already. Lenses stay."""
    photos = _as_photos(views, extract_features(views, config.features, load))
    matches, _ = match_photos(photos, config, seed, progress)
    given = Model(
        photos,
        {index: view.world_to_camera.double() for index, view in enumerate(views)},
        {index: features.camera for index, features in enumerate(photos.features)},
        torch.zeros(0, 3, dtype=torch.float64), [], 0.0,
    )  # fmt: skip
    before = _share(given, matches, config)
    if before >= _GOOD or sum(map(len, matches.values())) < config.min_support:
        return Mended(before, before, None)
    model = rework(photos, matches, given.poses, given.cameras, config.polish, known_lenses=True)
    after = _share(model, matches, config)
    seen = {photo for track in model.tracks for photo, _ in track}
    if after < _GOOD or len(seen) < len(views):  # a camera without points has not been adjusted to anything
        return Mended(before, before, None)
    return Mended(before, after, _back(model.poses, given.poses))


def _as_photos(views: Sequence[View], features: Sequence[Features]) -> PhotoFeatures:
    """Keypoints of ideal cameras with square pixels, whose distortion is gone: each photo has a lens of its own."""
    square = []
    for one in features:
        K, camera = one.camera.K, one.camera
        stretch = float(K[0, 0] / K[1, 1])
        pixels = one.pixels * torch.tensor([1.0, stretch], dtype=torch.float64)
        lens = Camera.pinhole(
            camera.width, camera.height, float(K[0, 0]), None, float(K[0, 2]), float(K[1, 2]) * stretch
        )
        square.append(replace(one, camera=lens, pixels=pixels))
    lenses = tuple(Lens(one.camera.width, one.camera.height, None) for one in square)
    return PhotoFeatures(tuple(view.name for view in views), tuple(square), lenses, tuple(range(len(square))))


def _share(model: Model, matches: Mapping[Pair, Tensor], config: SfmConfig) -> float:
    fitting = sum(int(fits(model, pair, found, config.max_error_px).sum()) for pair, found in matches.items())
    return fitting / max(sum(map(len, matches.values())), 1)


def _back(poses: Mapping[int, Tensor], given: Mapping[int, Tensor]) -> list[Tensor]:
    """`poses` after the similarity that takes them nearest to `given`: rotations decide on its rotation, centres on the
    rest."""
    new, old = (torch.stack([one[photo] for photo in sorted(given)]) for one in (poses, given))
    U, _, Vh = torch.linalg.svd((old[:, :3, :3].mT @ new[:, :3, :3]).sum(0))
    rotation = U @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(U @ Vh))], dtype=U.dtype)) @ Vh
    X, Y = rigid.camera_center(new) @ rotation.T, rigid.camera_center(old)
    A, B = X - X.mean(0), Y - Y.mean(0)
    scale = float((A * B).sum() / (A * A).sum().clamp_min(1e-30))
    origin = rotation.T @ (X.mean(0) - Y.mean(0) / scale)
    return [moved_pose(pose, rotation, origin, scale) for pose in new]
