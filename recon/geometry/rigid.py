"""Rigid motions as [..., 4, 4] matrices. `a_to_b` takes coordinates in a to coordinates in b."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def from_rotation_translation(rotation: Tensor, translation: Tensor) -> Tensor:
    """[..., 3, 3] and [..., 3] to [..., 4, 4]."""
    top = torch.cat([rotation, translation[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def inverse(transform: Tensor) -> Tensor:
    """Inverse of rigid [..., 4, 4]; exact for rotations, so cheaper and steadier than a general inverse."""
    rotation_t = transform[..., :3, :3].transpose(-1, -2)
    return from_rotation_translation(rotation_t, -(rotation_t @ transform[..., :3, 3:]).squeeze(-1))


def transform_points(transform: Tensor, points: Tensor) -> Tensor:
    """Apply [..., 4, 4] to points [..., N, 3]."""
    return points @ transform[..., :3, :3].transpose(-1, -2) + transform[..., None, :3, 3]


def camera_center(world_to_camera: Tensor) -> Tensor:
    """Centre of projection in world coordinates [..., 3] of `world_to_camera` [..., 4, 4]."""
    return inverse(world_to_camera)[..., :3, 3]


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """`world_to_camera` [..., 4, 4] (x right, y down, z forward) of a camera at `eye` that sees `target` upright.

    All arguments [..., 3], world units. `up` must not be parallel to the line of sight.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=-2)
    return from_rotation_translation(rotation, -(rotation @ eye[..., None]).squeeze(-1))


def so3_exp(omega: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3], rad. Rodrigues' formula, smooth at zero."""
    theta2 = (omega * omega).sum(-1)[..., None, None]
    theta = theta2.clamp_min(1e-24).sqrt()
    x, y, z = omega.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    small = theta2 < 1e-8
    a = torch.where(small, 1 - theta2 / 6, torch.sin(theta) / theta)
    b = torch.where(small, 0.5 - theta2 / 24, (1 - torch.cos(theta)) / theta2.clamp_min(1e-24))
    return torch.eye(3, dtype=omega.dtype, device=omega.device) + a * skew + b * (skew @ skew)


def rotation_angle(rotation: Tensor) -> float:
    """Angle of a rotation matrix [3, 3], rad, exact for small ones as well."""
    R = rotation
    skew = torch.stack([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    return math.atan2(float(skew.norm()) / 2, (float(R.trace()) - 1) / 2)
