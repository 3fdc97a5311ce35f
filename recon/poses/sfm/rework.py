"""Rough cameras and matches to good cameras: tracks, points where rays meet, and bundle adjustment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera, distort
from recon.poses.features import undistort_pixels
from recon.poses.sfm.adjust import MANY_PHOTOS, MANY_POINTS
from recon.poses.sfm.config import PolishConfig
from recon.poses.sfm.mapping import Model, Pair
from recon.poses.sfm.photos import PhotoFeatures
from recon.poses.sfm.polish import polish, with_distortion

# Where the loss turns linear, and how far off observations may be that stay. A loss that is linear from the first pixel
# moves rough cameras so slowly that they are not where they belong before the rest is dropped.
_ROUNDS_PX = ((16.0, 32.0), (4.0, 8.0), (1.0, 3.0))
_START_SHARE = 0.06  # of the longer side that rough cameras may be off, about 4 degrees
_MIN_ANGLE = 0.017  # rad between the rays to a point: below a degree its depth is noise


def rework(
    photos: PhotoFeatures, matches: Mapping[Pair, Tensor], poses: Mapping[int, Tensor], cameras: Mapping[int, Camera],
    config: PolishConfig, known_lenses: bool = False,
) -> Model:  # fmt: skip
    """Cameras near `poses` [4, 4] and `cameras` that matches fit, with the points that they show.

    matches: [M, 2] by pair, of one motion each, wherever the rough cameras may place their epipolar lines. Cameras may
    be off by a few degrees and a tenth of their distances, focal lengths by a tenth; known_lenses: they are right. The
    frame drifts a little; nothing fixes it.
    """
    model = triangulated(photos, tracks(photos, matches, set(poses)), poses, cameras)
    # Wrong tracks end anywhere, also right before a camera, where they would count for more than all others.
    side = max(max(camera.width, camera.height) for camera in cameras.values())
    model = without_outliers(model, _START_SHARE * side)
    # What rough cameras leave over would go into the principal point and distortion, which therefore come last.
    for loss_px, limit in _ROUNDS_PX:
        model = without_outliers(polish(model, config, "none" if known_lenses else "focal", loss_px), limit)
    if not known_lenses and len(poses) >= MANY_PHOTOS and len(model.positions) >= MANY_POINTS:
        model = replace(model, cameras={photo: with_distortion(camera) for photo, camera in model.cameras.items()})
    return polish(model, config, "none" if known_lenses else "all")


def tracks(photos: PhotoFeatures, matches: Mapping[Pair, Tensor], used: set[int]) -> list[list[tuple[int, int]]]:
    """Keypoints of the photos `used` that chains of matches join, as (photo, keypoint); without those that join two
    keypoints of one photo.
    """
    starts = np.cumsum([0, *(len(one.pixels) for one in photos.features)])
    edges = [
        (found + torch.tensor([starts[i], starts[j]])).numpy()
        for (i, j), found in sorted(matches.items()) if i in used and j in used and len(found)
    ]  # fmt: skip
    if not edges:
        return []
    a, b = np.concatenate(edges).T
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(starts[-1], starts[-1]))
    label = connected_components(graph, directed=False)[1]
    nodes = np.unique(np.concatenate([a, b]))
    nodes = nodes[np.argsort(label[nodes], kind="stable")]
    groups = np.split(nodes, np.nonzero(np.diff(label[nodes]))[0] + 1)
    photo_of = np.searchsorted(starts, nodes, side="right") - 1
    found, position = [], 0
    for group in groups:
        own = photo_of[position : position + len(group)]
        position += len(group)
        if len(set(own.tolist())) == len(own):
            found.append([(int(photo), int(node - starts[photo])) for photo, node in zip(own, group, strict=True)])
    return found


def triangulated(
    photos: PhotoFeatures, joined: Sequence[list[tuple[int, int]]], poses: Mapping[int, Tensor],
    cameras: Mapping[int, Camera],
) -> Model:  # fmt: skip
    """Points nearest to the rays of their tracks; those behind a camera or seen from one direction are left out."""
    rays: dict[int, Tensor] = {}
    for photo, pose in poses.items():
        pixels, _ = undistort_pixels(photos.features[photo].pixels, cameras[photo])
        local = (
            torch.cat([pixels, torch.ones(len(pixels), 1, dtype=pixels.dtype)], 1)
            @ torch.linalg.inv(cameras[photo].K).T
        )
        rays[photo] = torch.nn.functional.normalize(local @ pose[:3, :3], dim=1)
    rows = [(index, photo, key) for index, track in enumerate(joined) for photo, key in track]
    if not rows:
        return Model(photos, dict(poses), dict(cameras), torch.zeros(0, 3, dtype=torch.float64), [], 0.0)
    point = torch.tensor([row[0] for row in rows])
    direction = torch.stack([rays[photo][key] for _, photo, key in rows])
    centers = {photo: rigid.camera_center(pose) for photo, pose in poses.items()}
    center = torch.stack([centers[photo] for _, photo, _ in rows])
    across = torch.eye(3, dtype=torch.float64) - direction[:, :, None] * direction[:, None]
    A = torch.zeros(len(joined), 3, 3, dtype=torch.float64).index_add_(0, point, across)
    b = torch.zeros(len(joined), 3, dtype=torch.float64).index_add_(0, point, (across @ center[..., None])[..., 0])
    # Two rays at an angle t leave 1 - cos t as the least eigenvalue, many more than that.
    sound = torch.linalg.eigvalsh(A)[:, 0] > 1 - np.cos(_MIN_ANGLE)
    positions = torch.linalg.solve(A + 1e-12 * torch.eye(3, dtype=torch.float64), b)
    ahead = ((positions[point] - center) * direction).sum(1) > 0
    sound &= torch.ones(len(joined), dtype=torch.int64).index_add_(0, point, -(~ahead).long()) > 0
    kept = sound.nonzero().squeeze(1).tolist()
    return Model(photos, dict(poses), dict(cameras), positions[kept], [joined[k] for k in kept], 0.0)


def without_outliers(model: Model, limit_px: float) -> Model:
    """The model without observations further than `limit_px` from where it has them, and points that one photo sees."""
    far: set[tuple[int, int]] = set()
    for photo, error in residuals_px(model).items():
        far |= {(photo, key) for key, value in error.items() if not value <= limit_px}
    thinner = [[one for one in track if one not in far] for track in model.tracks]
    kept = [index for index, track in enumerate(thinner) if len(track) >= 2]
    return replace(model, positions=model.positions[kept], tracks=[thinner[index] for index in kept])


def residuals_px(model: Model) -> dict[int, dict[int, float]]:
    """Distance of every observed keypoint from its point in the model, by photo and keypoint; infinite behind it."""
    seen: dict[int, list[tuple[int, int]]] = {photo: [] for photo in model.poses}
    for index, track in enumerate(model.tracks):
        for photo, key in track:
            seen[photo].append((key, index))
    errors: dict[int, dict[int, float]] = {}
    for photo, rows in seen.items():
        if not rows:
            continue
        keys, points = torch.tensor(rows).T
        local = rigid.transform_points(model.poses[photo], model.positions[points])
        camera = model.cameras[photo]
        pixels = distort(local[:, :2] / local[:, 2:], camera.distortion) * camera.K.diagonal()[:2] + camera.K[:2, 2]
        error = (pixels - model.photos.features[photo].pixels[keys]).norm(dim=1)
        error = torch.where(local[:, 2] > 0, error, torch.inf)
        errors[photo] = dict(zip(keys.tolist(), error.tolist(), strict=True))
    return errors
