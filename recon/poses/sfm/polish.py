"""The last adjustment: all cameras and points together, the principal point free as far as lenses leave it so.

COLMAP's bundle adjustment holds the principal point, or frees it without bounds, and few photos do not tell it from a
turn of the cameras. Here what is known of lenses beforehand counts as observations do, and a second term of distortion
keeps the first from bending the scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion
from recon.poses.sfm.config import PolishConfig
from recon.poses.sfm.mapping import Model

_POSE, _LENS = 6, 5  # unknowns: turn and shift; log of the focal length, principal point, k1, k2
LOSS_PX = 1.0  # soft L1 as in the adjustment before: quadratic below, linear above
_DAMPING, _MAX_DAMPING, _DAMPING_STEP = 1e-4, 1e8, 4.0
_LEAST_GAIN = 1e-5  # share of the cost, of the last step that is worth another one
# Errors of neighbouring keypoints are alike (lenses, rolling shutters, blur): so many observations count as one. With 1
# fox's principal point takes up what its shutter does; between 50 and 400 fox hardly changes,
# and fountain with 5 photos goes from 0.03 to 0.10 degrees.
_ALIKE = 100.0
_FIXED = 1e-6  # spread of what is no unknown

Freedom = Literal["all", "focal", "none"]


def polish(model: Model, config: PolishConfig, lens: Freedom = "all", loss_px: float = LOSS_PX) -> Model:
    """`model` after Levenberg-Marquardt over poses, points, focal lengths, principal points and distortion.

    Observations have a soft L1 loss in units of the noise that the residuals show, intrinsics normal priors (see
    `PolishConfig`); distortion moves where the model has some. The frame may drift a little, as nothing fixes it.
    lens: what of the intrinsics is an unknown.   loss_px: where the loss turns from quadratic to linear.
    Source: Triggs et al. 2000, "Bundle adjustment: a modern synthesis", section 6 for the Schur complement.
    """
    if not model.tracks or config.iterations == 0:
        return model
    order = sorted(model.poses)
    lenses = sorted({model.photos.lens_of[photo] for photo in order})
    lens_of = [lenses.index(model.photos.lens_of[photo]) for photo in order]
    cameras = [model.cameras[order[lens_of.index(lens)]] for lens in range(len(lenses))]
    at = {photo: index for index, photo in enumerate(order)}
    rows = [(at[photo], point, key) for point, track in enumerate(model.tracks) for photo, key in track]
    camera, point, _ = torch.tensor(rows, dtype=torch.int64).T
    pixels = torch.stack([model.photos.features[order[index]].pixels[key] for index, _, key in rows])
    seen = Observations(camera, torch.tensor(lens_of)[camera], point, pixels)
    start = Unknowns(
        torch.stack([model.poses[photo] for photo in order]),
        torch.stack([_parameters(one) for one in cameras]),
        model.positions,
    )
    prior = Prior.of(cameras, config) if lens == "all" else Prior.held(start.lenses, lens == "focal")
    best = minimise(start, seen, prior, config.iterations, loss_px)
    return replace(
        model,
        poses={photo: best.poses[at[photo]] for photo in order},
        cameras={photo: _camera(best.lenses[lens_of[at[photo]]], model.cameras[photo]) for photo in order},
        positions=best.points,
        error_px=float((project(best, seen)[0] - pixels).norm(dim=1).mean()),
    )


@dataclass(frozen=True)
class Unknowns:
    """Everything that is adjusted, float64."""

    poses: Tensor
    """[C, 4, 4] `world_to_camera`."""
    lenses: Tensor
    """[L, 5]: logarithm of the focal length in px, principal point in px, radial distortion k1 and k2."""
    points: Tensor
    """[P, 3]"""

    def moved(self, cameras: Tensor, points: Tensor) -> Unknowns:
        """After a step: cameras [6 C + 5 L], for each a turn, rad, and a shift in its own axes; points [P, 3]."""
        pose, lens = cameras.split([_POSE * len(self.poses), self.lenses.numel()])
        pose = pose.view(-1, _POSE)
        turn = rigid.from_rotation_translation(rigid.so3_exp(pose[:, :3]), pose[:, 3:])
        return Unknowns(turn @ self.poses, self.lenses + lens.view(-1, _LENS), self.points + points)


@dataclass(frozen=True)
class Observations:
    """Where photos show points."""

    camera: Tensor
    """[M] int64, the photo's row in `Unknowns.poses`."""
    lens: Tensor
    """[M] int64"""
    point: Tensor
    """[M] int64"""
    pixels: Tensor
    """[M, 2] float64"""


@dataclass(frozen=True)
class Prior:
    """What is known of lenses beforehand."""

    mean: Tensor
    """[L, 5], as `Unknowns.lenses`."""
    weight: Tensor
    """[L, 5], one over variances; 0 where nothing is known."""

    @staticmethod
    def of(cameras: Sequence[Camera], config: PolishConfig) -> Prior:
        """The middle of the photo and no distortion."""
        means = [(0.0, one.width / 2, one.height / 2, 0.0, 0.0) for one in cameras]
        weights = []
        for one in cameras:
            center = config.center_spread * max(one.width, one.height)
            spread = _FIXED if one.distortion.is_identity else config.distortion_spread
            weights.append((0.0, center**-2, center**-2, spread**-2, spread**-2))
        return Prior(torch.tensor(means, dtype=torch.float64), _ALIKE * torch.tensor(weights, dtype=torch.float64))

    @staticmethod
    def held(lenses: Tensor, focal: bool) -> Prior:
        """All of `lenses` [L, 5] as they are, or all but the focal lengths."""
        weight = torch.full_like(lenses, _FIXED**-2)
        weight[:, 0] *= not focal
        return Prior(lenses.clone(), weight)

    def cost(self, lenses: Tensor) -> float:
        return float((self.weight * (lenses - self.mean).square()).sum())


def minimise(start: Unknowns, seen: Observations, prior: Prior, iterations: int, loss_px: float = LOSS_PX) -> Unknowns:
    """From `start` downhill until steps gain little, at most `iterations` of them."""
    now, damping = start, _DAMPING
    residual = project(now, seen)[0] - seen.pixels
    # Of a normal distribution in the plane half lies within 1.1774 sigma.
    variance = max((float(residual.norm(dim=1).median()) / 1.1774) ** 2, 1e-12)
    cost = _loss(residual, loss_px) / variance + prior.cost(now.lenses)
    for _ in range(iterations):
        system = _System.of(now, seen, prior, variance, loss_px)
        while True:
            then = now.moved(*system.step(damping))
            residual = project(then, seen)[0] - seen.pixels
            after = _loss(residual, loss_px) / variance + prior.cost(then.lenses)
            if after < cost:
                break
            damping *= _DAMPING_STEP
            if damping > _MAX_DAMPING:
                return now
        gain, now, cost, damping = cost - after, then, after, damping / _DAMPING_STEP
        if gain < _LEAST_GAIN * cost:
            break
    return now


def _loss(residual: Tensor, loss_px: float) -> float:
    """Soft L1 of residuals [M, 2], px squared."""
    return 2 * loss_px**2 * float(((1 + residual.square().sum(1) / loss_px**2).sqrt() - 1).sum())


@dataclass(frozen=True)
class _System:
    """Normal equations of n numbers of cameras and 3 of each point."""

    U: Tensor
    """[n, n], cameras by cameras."""
    W: Tensor
    """[P, 3, n], points by cameras."""
    V: Tensor
    """[P, 3, 3], points by themselves."""
    a: Tensor
    """[n], gradient by cameras."""
    b: Tensor
    """[P, 3], gradient by points."""

    @staticmethod
    def of(now: Unknowns, seen: Observations, prior: Prior, variance: float, loss_px: float) -> _System:
        pixels, by_pose, by_lens, by_point = project(now, seen)
        residual = (pixels - seen.pixels)[..., None]
        weight = (1 + residual.square().sum(1, keepdim=True) / loss_px**2).rsqrt() / variance
        first = _POSE * len(now.poses)  # of the lenses' numbers
        n, count = first + now.lenses.numel(), len(now.points)
        columns = torch.cat(
            [
                _POSE * seen.camera[:, None] + torch.arange(_POSE),
                first + _LENS * seen.lens[:, None] + torch.arange(_LENS),
            ],
            dim=1,
        )
        J = torch.cat([by_pose, by_lens], 2)
        weighted, weighted_point = weight * J, weight * by_point
        zeros = J.new_zeros
        U = zeros(n * n).index_add_(
            0, (n * columns[:, :, None] + columns[:, None]).flatten(), (weighted.mT @ J).flatten()
        )
        a = zeros(n).index_add_(0, columns.flatten(), (weighted.mT @ residual).flatten())
        rows = 3 * seen.point[:, None, None] + torch.arange(3)[:, None]
        W = zeros(count * 3 * n).index_add_(
            0, (n * rows + columns[:, None]).flatten(), (by_point.mT @ weighted).flatten()
        )
        V = zeros(count, 3, 3).index_add_(0, seen.point, weighted_point.mT @ by_point)
        b = zeros(count, 3).index_add_(0, seen.point, (weighted_point.mT @ residual)[..., 0])
        U = U.view(n, n)
        U.diagonal()[first:] += prior.weight.flatten()
        a[first:] += (prior.weight * (now.lenses - prior.mean)).flatten()
        return _System(U, W.view(count, 3, n), V, a, b)

    def step(self, damping: float) -> tuple[Tensor, Tensor]:
        """Changes of cameras [n] and points [P, 3]; the points are eliminated first."""
        U = self.U + torch.diag(damping * self.U.diagonal().clamp_min(1e-9))
        V = self.V + torch.diag_embed(damping * self.V.diagonal(dim1=1, dim2=2).clamp_min(1e-9))
        inverse = torch.linalg.inv(V)
        VW, Vb = inverse @ self.W, inverse @ self.b[..., None]
        W = self.W.flatten(0, 1)
        S = U - W.T @ VW.flatten(0, 1)
        cameras = -torch.linalg.solve(S, self.a - W.T @ Vb.flatten())
        return cameras, -(Vb[..., 0] + VW @ cameras)


def project(now: Unknowns, seen: Observations) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels [M, 2] and their derivatives by pose [M, 2, 6], lens [M, 2, 5] and point [M, 2, 3]."""
    R = now.poses[seen.camera, :3, :3]
    X = (R @ now.points[seen.point, :, None])[..., 0] + now.poses[seen.camera, :3, 3]
    f, k1, k2 = now.lenses[seen.lens, 0].exp(), now.lenses[seen.lens, 3], now.lenses[seen.lens, 4]
    xy = X[:, :2] / X[:, 2:]
    r2 = xy.square().sum(1)
    scale = f * (1 + r2 * (k1 + r2 * k2))
    centered = scale[:, None] * xy
    eye = torch.eye(2, dtype=X.dtype).expand(len(X), 2, 2)
    by_xy = scale[:, None, None] * eye + (2 * f * (k1 + 2 * k2 * r2))[:, None, None] * xy[:, :, None] * xy[:, None]
    by_X = by_xy @ torch.cat([eye, -xy[:, :, None]], 2) / X[:, 2, None, None]
    x, y, z = X.unbind(1)
    zero = torch.zeros_like(z)
    by_turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], 1).view(-1, 3, 3)
    by_k1 = ((f * r2)[:, None] * xy)[:, :, None]
    by_lens = torch.cat([centered[:, :, None], eye, by_k1, r2[:, None, None] * by_k1], 2)
    return centered + now.lenses[seen.lens, 1:3], torch.cat([by_X @ by_turn, by_X], 2), by_lens, by_X @ R


def _parameters(camera: Camera) -> Tensor:
    k1, k2 = camera.distortion.params[:2] or (0.0, 0.0)
    f, cx, cy = float(camera.K[0, 0]), float(camera.K[0, 2]), float(camera.K[1, 2])
    return torch.tensor([math.log(f), cx, cy, k1, k2], dtype=torch.float64)


def _camera(parameters: Tensor, given: Camera) -> Camera:
    log_f, cx, cy, k1, k2 = parameters.tolist()
    camera = Camera.pinhole(given.width, given.height, math.exp(log_f), None, cx, cy)
    if given.distortion.is_identity:
        return camera
    return replace(camera, distortion=Distortion("opencv", (k1, k2, 0.0, 0.0)))


def with_distortion(camera: Camera) -> Camera:
    """The same camera with room for radial distortion, of which there is next to none yet."""
    if not camera.distortion.is_identity:
        return camera
    return replace(camera, distortion=Distortion("opencv", (1e-9, 0.0, 0.0, 0.0)))
