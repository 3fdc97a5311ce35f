"""What speaks for a model. A low reprojection error does not: wrong models of three photos have 0.7 px, too."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.poses.features import undistort_pixels
from recon.poses.matching import fundamental_matrix
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Model, Pair

_SAME_ANGLE = math.radians(3.0)  # models whose relative rotations differ by less are the same
_SAME_DIRECTION = math.radians(10.0)  # and so for the directions between their cameras


@dataclass(frozen=True)
class Evidence:
    """Figures that a model is judged by."""

    registered: int
    """Photos with a pose."""
    matches: int
    """Matches of all pairs of those."""
    support: int
    """Those that fit the model, seen in front of both cameras."""
    fitting: dict[Pair, int]
    """The same by pair."""
    angle_deg: float
    """Median over points of the largest angle between two rays to it."""
    parallax_px: float
    """Median shift of matches that a turning camera does not explain, in the pair where it is largest."""
    focal: float
    """Median focal length in longer sides."""
    plausible: float
    """In (0, 1]: 1 for the expected focal length, less for odd ones: the geometric mean of their densities."""
    agreeing: int = 1
    """Attempts that came to the same cameras, this one included."""

    @property
    def score(self) -> float:
        """Photos first, then matches, both only as far as the focal length is plausible."""
        return self.plausible * self.registered**2 * self.support


def weigh(model: Model, matches: Mapping[Pair, Tensor], config: SfmConfig) -> Evidence:
    """Evidence for `model` in all matches, not only in those that it was made from."""
    own = {pair: pairs for pair, pairs in matches.items() if pair[0] in model.poses and pair[1] in model.poses}
    inliers = {pair: pairs[fits(model, pair, pairs, config.max_error_px)] for pair, pairs in own.items()}
    fitting = {pair: len(pairs) for pair, pairs in inliers.items()}
    focals = torch.tensor([model.focal(photo) for photo in model.poses])
    return Evidence(
        len(model.poses),
        sum(map(len, own.values())),
        sum(fitting.values()),
        fitting,
        _median_angle_deg(model),
        max((_parallax_px(model, pair, pairs) for pair, pairs in inliers.items()), default=0.0),
        float(focals.median()),
        math.exp(-0.5 * statistics.fmean(_oddity(model, photo, config) ** 2 for photo in model.poses)),
    )


def fits(model: Model, pair: Pair, matches: Tensor, max_error_px: float) -> Tensor:
    """Which of `matches` [M, 2] lie near their epipolar lines in both photos and in front of both cameras, [M] bool."""
    i, j = pair
    a, sound_a = undistort_pixels(model.photos.features[i].pixels[matches[:, 0]], model.cameras[i])
    b, sound_b = undistort_pixels(model.photos.features[j].pixels[matches[:, 1]], model.cameras[j])
    i_to_j = model.poses[j] @ rigid.inverse(model.poses[i])
    K_a, K_b = model.cameras[i].K, model.cameras[j].K
    F = fundamental_matrix(K_a, K_b, i_to_j)
    one = torch.ones(len(a), 1, dtype=torch.float64)
    x_a, x_b = torch.cat([a, one], 1), torch.cat([b, one], 1)
    line_b, line_a = x_a @ F.T, x_b @ F
    residual = (line_b * x_b).sum(1).abs()
    near = (residual <= max_error_px * line_b[:, :2].norm(dim=1)) & (
        residual <= max_error_px * line_a[:, :2].norm(dim=1)
    )
    # Depths of the midpoint between the rays: p + s u and q + t v in the first camera's frame.
    u = x_a @ torch.linalg.inv(K_a).T
    v = (x_b @ torch.linalg.inv(K_b).T) @ i_to_j[:3, :3]
    q = rigid.camera_center(i_to_j)
    uu, vv, uv, uq, vq = (u * u).sum(1), (v * v).sum(1), (u * v).sum(1), u @ q, v @ q
    denominator = uu * vv - uv * uv
    ahead = (uq * vv - vq * uv > 0) & (uq * uv - vq * uu > 0) & (denominator > 0)
    return near & ahead & sound_a & sound_b


def same(a: Model, b: Model) -> bool:
    """Whether two models place the photos that both have in the same way, up to frame and scale."""
    common = sorted(set(a.poses) & set(b.poses))
    if len(common) < 2:
        return False
    for index, i in enumerate(common):
        for j in common[index + 1 :]:
            first, second = (one.poses[j] @ rigid.inverse(one.poses[i]) for one in (a, b))
            if rigid.rotation_angle(first[:3, :3] @ second[:3, :3].T) > _SAME_ANGLE:
                return False
            p, q = (torch.nn.functional.normalize(one[:3, 3], dim=0) for one in (first, second))
            if math.acos(max(-1.0, min(1.0, float(p @ q)))) > _SAME_DIRECTION:
                return False
    return True


def count_agreeing(models: Sequence[Model], index: int) -> int:
    """How many of `models` are the same as that at `index`, itself included."""
    return sum(other is models[index] or same(models[index], other) for other in models)


def _oddity(model: Model, photo: int, config: SfmConfig) -> float:
    """How far a photo's focal length is from the most likely one, in standard deviations of its logarithm."""
    lens = model.photos.lenses[model.photos.lens_of[photo]]
    expected, spread = config.usual_focal, config.focal_spread
    if lens.exif_focal is not None:
        expected, spread = lens.exif_focal, config.exif_spread
    return math.log(max(model.focal(photo), 1e-9) / expected) / spread


def _parallax_px(model: Model, pair: Pair, matches: Tensor) -> float:
    """Median distance, px, that remains between matches [M, 2] when the first camera is turned as well as it can be."""
    if len(matches) < 3:
        return 0.0
    rays = []
    for side, photo in enumerate(pair):
        pixels, _ = undistort_pixels(model.photos.features[photo].pixels[matches[:, side]], model.cameras[photo])
        homogeneous = torch.cat([pixels, torch.ones(len(pixels), 1, dtype=torch.float64)], 1)
        rays.append(torch.nn.functional.normalize(homogeneous @ torch.linalg.inv(model.cameras[photo].K).T, dim=1))
    U, _, Vh = torch.linalg.svd(rays[1].T @ rays[0])  # Kabsch: rays[1] = rays[0] turned
    flip = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(U @ Vh))], dtype=torch.float64))
    remaining = (rays[1] - rays[0] @ (U @ flip @ Vh).T).norm(dim=1)
    return float(remaining.median() * model.cameras[pair[1]].K[0, 0])


def _median_angle_deg(model: Model) -> float:
    if not model.tracks:
        return 0.0
    centers = {photo: rigid.camera_center(pose) for photo, pose in model.poses.items()}
    largest = []
    for position, track in zip(model.positions, model.tracks, strict=True):
        rays = torch.nn.functional.normalize(torch.stack([position - centers[photo] for photo, _ in track]), dim=1)
        largest.append(float((rays @ rays.T).min()))
    return math.degrees(math.acos(max(-1.0, min(1.0, sorted(largest)[len(largest) // 2]))))
