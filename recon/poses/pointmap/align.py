"""Groups of pointmaps to one frame, and each photo's camera in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera, pixel_grid
from recon.poses.colmap_database import colmap_camera
from recon.poses.features import quiet_pycolmap
from recon.poses.pointmap.model import Group

_SAMPLES = 2000  # pixels of a map that take part: more tell the same
_ROUNDS = 5  # of least squares with what fits badly weighted down
_FOCALS = (0.3, 3.0)  # longer sides, where a focal length is looked for
_TRIED = 17
_SPARSER = 5  # every so manyth of the samples while it is looked for: some fifty cameras for each photo
_LEAST = 20  # pixels that make a camera


@dataclass(frozen=True)
class Cloud:
    """Confident pixels of one photo and where they lie in the common frame."""

    pixels: Tensor
    """[N, 2] float64, px of the map."""
    points: Tensor
    """[N, 3] float64."""
    size: tuple[int, int]
    """Width and height of the map, px."""


@dataclass(frozen=True)
class Place:
    """A camera that a cloud was seen with."""

    world_to_camera: Tensor
    """[4, 4] float64."""
    fitting: float
    """Share of the pixels that fit it."""


def clouds(groups: Sequence[Group], cut: float) -> dict[int, Cloud]:
    """The confident pixels of each photo in the frame of the surest group, as far as groups overlap.

    Groups come in by confidence; each is moved by the similarity that takes a photo's map, where it is known already,
    to what is known. Source: Umeyama 1991, with weights.
    """
    waiting = sorted(groups, key=_sureness, reverse=True)
    world: dict[int, Tensor] = {}
    used: dict[int, Tensor] = {}
    while waiting:
        # The surest group that shares a photo with what is there.
        index = next((k for k, one in enumerate(waiting) if not world or world.keys() & set(one.photos)), None)
        if index is None:
            break
        group = waiting.pop(index)
        moved = _moved(group, world, used)
        for photo, points, confidence in zip(group.photos, moved, group.confidence, strict=True):
            if photo not in world:
                world[photo], used[photo] = points, confidence
    return {photo: _confident(points, used[photo], cut) for photo, points in sorted(world.items())}


def focal_of(found: Sequence[Cloud], seed: int, max_error_px: float) -> float:
    """The focal length, in longer sides, at which most pixels of all clouds fit a camera."""
    few = [replace(one, pixels=one.pixels[::_SPARSER], points=one.points[::_SPARSER]) for one in found]

    def support(focal: float) -> float:
        return sum(camera_of(one, focal, seed, max_error_px).fitting for one in few)

    low, high = (math.log(bound) for bound in _FOCALS)
    best = 0.0
    for _ in range(3):  # each round looks between the neighbours of the best one so far
        steps = [low + (high - low) * k / (_TRIED - 1) for k in range(_TRIED)]
        best = max(steps, key=lambda one: support(math.exp(one)))
        reach = (high - low) / (_TRIED - 1)
        low, high = best - reach, best + reach
    return math.exp(best)


def camera_of(cloud: Cloud, focal: float, seed: int, max_error_px: float) -> Place:
    """Where a photo was taken from, by its own pixels' points; fitting 0 when nothing fits.

    `Place.fitting` weighs a pixel by how well it fits, so that it tells focal lengths apart.
    """
    import pycolmap

    width, height = cloud.size
    camera = Camera.pinhole(width, height, focal * max(width, height))
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    options.ransac.max_num_trials = 200  # confident pixels are wrong together or not at all
    with quiet_pycolmap():
        found = pycolmap.estimate_and_refine_absolute_pose(
            cloud.pixels.numpy(), cloud.points.numpy(), colmap_camera(camera, 1), options
        )
    if found is None or found["num_inliers"] < _LEAST:
        return Place(torch.eye(4, dtype=torch.float64), 0.0)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = torch.from_numpy(found["cam_from_world"].matrix().copy())
    local = rigid.transform_points(pose, cloud.points)
    error = (local[:, :2] / local[:, 2:] * camera.K[0, 0] + camera.K[:2, 2] - cloud.pixels).norm(dim=1)
    error = torch.where(local[:, 2] > 0, error, torch.inf)
    return Place(pose, float((1 - (error / max_error_px).square()).clamp_min(0).mean()))


def similarity(source: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, float]:
    """Rotation [3, 3], shift [3] and scale with target = scale * rotation source + shift, for points [N, 3].

    What fits badly counts less and less. Source: Umeyama 1991; iteratively reweighted.
    """
    rotation, shift, scale = torch.eye(3, dtype=source.dtype), torch.zeros(3, dtype=source.dtype), 1.0
    robust = weight
    for _ in range(_ROUNDS):
        share = (robust / robust.sum())[:, None]
        a, b = (share * source).sum(0), (share * target).sum(0)
        A, B = source - a, target - b
        U, values, Vh = torch.linalg.svd((share * B).T @ A)
        sign = torch.tensor([1.0, 1.0, float(torch.sign(torch.det(U @ Vh)))], dtype=source.dtype)
        rotation = U @ torch.diag(sign) @ Vh
        scale = float((values * sign).sum() / (share * A.square()).sum().clamp_min(1e-30))
        shift = b - scale * (rotation @ a)
        residual = (scale * source @ rotation.T + shift - target).norm(dim=1)
        robust = weight / (1 + (residual / residual.median().clamp_min(1e-12)).square())
    return rotation, shift, scale


def _sureness(group: Group) -> float:
    return min(float(one.median()) for one in group.confidence)


def _moved(group: Group, world: dict[int, Tensor], used: dict[int, Tensor]) -> list[Tensor]:
    """The group's maps in the common frame; the photo that both are surest of joins them."""
    own = [points.double() for points in group.points]
    shared = [k for k, photo in enumerate(group.photos) if photo in world]
    if not shared:
        return own
    joints = {k: torch.minimum(group.confidence[k], used[group.photos[k]]) for k in shared}
    joint = max(joints, key=lambda k: float(joints[k].median()))
    chosen = _spread(int(own[joint].shape[0] * own[joint].shape[1]))
    source, target = (one.reshape(-1, 3)[chosen] for one in (own[joint], world[group.photos[joint]]))
    rotation, shift, scale = similarity(source, target, joints[joint].double().reshape(-1)[chosen])
    return [scale * points @ rotation.T + shift for points in own]


def _confident(points: Tensor, confidence: Tensor, cut: float) -> Cloud:
    height, width = confidence.shape
    sound = (confidence >= confidence.flatten().quantile(cut)) & points.isfinite().all(-1)
    grid = pixel_grid(width, height, torch.float64)
    pixels, kept = grid[sound], points[sound]
    chosen = _spread(len(kept))
    return Cloud(pixels[chosen], kept[chosen], (width, height))


def _spread(count: int) -> Tensor:
    """Up to `_SAMPLES` indices of `count`, evenly."""
    return torch.linspace(0, count - 1, min(count, _SAMPLES)).round().long()
