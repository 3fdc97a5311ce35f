"""A frame for a scene that came without one: y up, the points around the origin, cameras at a distance of about one."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.geometry import rigid


def world_from_model(poses: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, float]:
    """Rotation [3, 3], origin [3] and scale of the new frame: X = scale * rotation (x - origin).

    poses: [C, 4, 4] `world_to_camera`.   positions: [P, 3].
    Photos are taken upright, so that up is the mean of the cameras' up; the median camera looks along -z.
    """
    up = torch.nn.functional.normalize(-poses[:, 1, :3].mean(0), dim=0)
    backward = -torch.nn.functional.normalize(poses[:, 2, :3].mean(0), dim=0)
    if not bool(up.isfinite().all()) or float(up.norm()) < 0.5:
        up = torch.tensor([0.0, 1.0, 0.0], dtype=poses.dtype)
    z = backward - (backward @ up) * up
    if float(z.norm()) < 1e-3:  # cameras all around: any direction will do
        z = torch.linalg.cross(up, up.roll(1) + up.new_tensor([0.1, 0.2, 0.3]))
    z = torch.nn.functional.normalize(z, dim=0)
    rotation = torch.stack([torch.linalg.cross(up, z), up, z])
    origin = positions.median(0).values
    distance = (rigid.camera_center(poses) - origin).norm(dim=1).median()
    return rotation, origin, 1 / max(float(distance), 1e-9)


def moved_pose(world_to_camera: Tensor, rotation: Tensor, origin: Tensor, scale: float) -> Tensor:
    """`world_to_camera` [4, 4] of the same camera in the new frame."""
    R, t = world_to_camera[:3, :3], world_to_camera[:3, 3]
    return rigid.from_rotation_translation(R @ rotation.T, scale * (R @ origin + t))
