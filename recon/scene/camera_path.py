"""Camera paths to look at a scene along: an orbit around it, a spline through given views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.scene.nodes import View

# A gap between neighbouring azimuths that is wider than this means that the photos do not go all around.
_WIDEST_GAP_DEG = 120.0
# Share of the spread of the photos that a swing keeps to, so that it stays where photos constrain the scene.
_SWING = 0.6


def orbit(views: Sequence[View], frames: int) -> list[View]:
    """A smooth closed path of `frames` cameras that look at what the photos look at.

    A full circle when the photos go all around; else a swing within their spread. Distance, elevation and lens
    follow the photos'. The camera's up is the photos' mean up.
    """
    _need(views, frames)
    poses = torch.stack([view.world_to_camera for view in views]).double()
    centers = rigid.camera_center(poses)
    focus, up = focus_point(poses), mean_up(poses)
    east, north = _horizontal_axes(up, centers - focus)
    offsets = centers - focus
    height = offsets @ up
    flat = torch.stack([offsets @ east, offsets @ north], dim=-1)
    ground = flat.norm(dim=-1)
    azimuth = torch.atan2(flat[:, 1], flat[:, 0])
    elevation = torch.atan2(height, ground)
    radius = offsets.norm(dim=-1).median()
    start, extent = _covered_arc(azimuth)
    phase = torch.arange(frames, dtype=torch.float64) * (2 * math.pi / frames)
    if 2 * math.pi - extent <= math.radians(_WIDEST_GAP_DEG):
        path_azimuth = start + phase
        path_elevation = elevation.median().expand(frames)
    else:
        path_azimuth = start + extent / 2 + _SWING * extent / 2 * torch.sin(phase)
        swing = _SWING * (elevation.max() - elevation.min()) / 2
        path_elevation = elevation.mean() + swing * torch.cos(phase)
    flat_direction = path_azimuth.cos()[:, None] * east + path_azimuth.sin()[:, None] * north
    direction = path_elevation.cos()[:, None] * flat_direction + path_elevation.sin()[:, None] * up
    eyes = focus + radius * direction
    path = rigid.look_at(eyes, focus.expand_as(eyes), up)
    return [_frame(index, views[0].camera, pose) for index, pose in enumerate(path)]


def between(views: Sequence[View], frames: int) -> list[View]:
    """A smooth open path of `frames` cameras through `views`, in their order, first and last included.

    Centres follow a cubic spline over centripetal arc length, orientations a spline on the rotation group with the
    same parameter, the lens changes in proportion; images have the size of the first view.
    """
    _need(views, frames)
    if len(views) < 2:
        raise ReconError("a path between views", found="one view", wanted="two or more", fix="name them after --views")
    from scipy.interpolate import CubicSpline
    from scipy.spatial.transform import Rotation, RotationSpline

    poses = torch.stack([view.world_to_camera for view in views]).double()
    centers = rigid.camera_center(poses).numpy()
    steps = np.sqrt(np.linalg.norm(np.diff(centers, axis=0), axis=1))
    # Views at one place still need a stretch of the path, for the turn.
    knots = np.concatenate([[0.0], np.cumsum(np.maximum(steps, max(steps.max(), 1e-9) * 1e-2))])
    times = np.linspace(0.0, knots[-1], frames)
    turns = RotationSpline(knots, Rotation.from_matrix(poses[:, :3, :3].numpy()))
    rotations = torch.from_numpy(turns(times).as_matrix())
    eyes = torch.from_numpy(CubicSpline(knots, centers, bc_type="natural" if len(views) > 2 else "not-a-knot")(times))
    first = views[0].camera
    lenses = np.stack([view.camera.resized(first.width, first.height).K.numpy() for view in views])
    Ks = np.stack([np.interp(times, knots, lenses[:, i, j]) for i in range(3) for j in range(3)], -1)
    path = rigid.from_rotation_translation(rotations, -(rotations @ eyes[..., None]).squeeze(-1))
    return [
        _frame(index, replace(first, K=torch.from_numpy(K.reshape(3, 3))), pose)
        for index, (K, pose) in enumerate(zip(Ks, path, strict=True))
    ]


def focus_point(world_to_camera: Tensor) -> Tensor:
    """The point [3] that [C, 4, 4] cameras look at: nearest to all their lines of sight, in front of them.

    For parallel lines, where that point is undefined or behind, a point ahead of the mean camera at a distance of
    three times the cameras' spread.
    """
    centers = rigid.camera_center(world_to_camera)
    forward = world_to_camera[:, 2, :3]
    eye = torch.eye(3, dtype=centers.dtype)
    away = eye - forward[:, :, None] * forward[:, None, :]
    matrix = away.sum(0)
    # The smallest eigenvalue is the mean squared sine between the lines and the worst direction.
    if len(centers) > 1 and torch.linalg.eigvalsh(matrix)[0] / len(centers) > 1e-4:
        point = torch.linalg.solve(matrix, (away @ centers[..., None]).sum(0)).squeeze(-1)
        if (((point - centers) * forward).sum(-1) > 0).float().mean() > 0.5:
            return point
    spread = float((centers - centers.mean(0)).norm(dim=-1).max())
    ahead = torch.nn.functional.normalize(forward.mean(0), dim=-1)
    return centers.mean(0) + ahead * (3 * spread if spread > 1e-9 else 1.0)


def mean_up(world_to_camera: Tensor) -> Tensor:
    """Unit mean [3] of the cameras' up directions in the world. Cameras [C, 4, 4] have y down."""
    up = -world_to_camera[:, 1, :3].mean(0)
    if up.norm() < 1e-6:
        up = -world_to_camera[0, 1, :3]
    return torch.nn.functional.normalize(up, dim=-1)


def _horizontal_axes(up: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors that are orthogonal to `up` and to each other, the first towards the mean offset."""
    toward = offsets.mean(0)
    flat = toward - (toward @ up) * up
    if flat.norm() < 1e-9:
        axis = torch.eye(3, dtype=up.dtype)[up.abs().argmin()]
        flat = axis - (axis @ up) * up
    east = torch.nn.functional.normalize(flat, dim=-1)
    return east, torch.linalg.cross(up, east)


def _covered_arc(azimuth: Tensor) -> tuple[float, float]:
    """Start and extent, rad, of the shortest arc that holds all angles."""
    ordered = azimuth.sort().values
    gaps = torch.cat([ordered[1:], ordered[:1] + 2 * math.pi]) - ordered
    widest = int(gaps.argmax())
    return float(ordered[(widest + 1) % len(ordered)]), float(2 * math.pi - gaps[widest])


def _frame(index: int, camera: Camera, pose: Tensor) -> View:
    return View(f"frame_{index:04d}.png", camera, pose)


def _need(views: Sequence[View], frames: int) -> None:
    if not views:
        raise ReconError("a camera path", found="no views", wanted="views to follow")
    if frames < 2:
        raise ReconError("a camera path", found=f"{frames} frames", wanted="at least 2", fix="raise --frames")
