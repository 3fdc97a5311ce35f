"""Camera paths: rigid, looking at the scene, smooth, through the views that they are asked to pass."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.scene import View
from recon.scene.camera_path import between, focus_point, orbit

TARGET = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def ring(angles_deg: list[float], radius: float = 3.0, height: float = 1.0) -> list[View]:
    views = []
    for index, degrees in enumerate(angles_deg):
        a = math.radians(degrees)
        offset = torch.tensor([radius * math.cos(a), radius * math.sin(a), height], dtype=torch.float64)
        pose = rigid.look_at(TARGET + offset, TARGET, UP)
        views.append(View(f"{index}.png", Camera.pinhole(64, 48, 50.0 + index), pose))
    return views


def poses(views: list[View]) -> Tensor:
    return torch.stack([view.world_to_camera for view in views])


FULL = ring([0, 60, 120, 180, 240, 300])
SWING = ring([0, 20, 40, 60])


def test_focus_is_where_the_cameras_look() -> None:
    torch.testing.assert_close(focus_point(poses(FULL)), TARGET, rtol=0, atol=1e-9)


@pytest.mark.parametrize("views", [FULL, SWING], ids=["full circle", "swing"])
def test_orbit_is_closed_rigid_and_looks_at_the_focus(views: list[View]) -> None:
    path = orbit(views, 60)
    matrices = poses(path)
    identity = torch.eye(3, dtype=torch.float64).expand(60, 3, 3)
    torch.testing.assert_close(matrices[:, :3, :3] @ matrices[:, :3, :3].mT, identity, rtol=0, atol=1e-9)
    seen = rigid.transform_points(matrices, TARGET.expand(60, 1, 3)).squeeze(1)
    torch.testing.assert_close(seen[:, :2], torch.zeros(60, 2, dtype=torch.float64), rtol=0, atol=1e-9)
    assert bool((seen[:, 2] > 0).all())
    centers = rigid.camera_center(matrices)
    steps = (centers - centers.roll(1, 0)).norm(dim=-1)
    # Smooth and closed: no step, the one from the last frame to the first included, is far above the mean.
    assert float(steps.max()) < 2 * float(steps.mean())


def test_a_swing_stays_within_the_photos() -> None:
    centers = rigid.camera_center(poses(orbit(SWING, 50))) - TARGET
    angles = torch.rad2deg(torch.atan2(centers[:, 1], centers[:, 0]))
    assert 0 < float(angles.min()) < float(angles.max()) < 60


def test_path_between_starts_and_ends_at_its_views() -> None:
    path = between(SWING, 31)
    for frame, view in ((path[0], SWING[0]), (path[-1], SWING[-1]), (path[10], SWING[1])):
        # Evenly spread views: every tenth frame is one of them.
        torch.testing.assert_close(frame.world_to_camera, view.world_to_camera, rtol=0, atol=1e-6)
        assert float(frame.camera.K[0, 0]) == pytest.approx(float(view.camera.K[0, 0]), abs=1e-6)


def test_what_makes_no_path_is_refused() -> None:
    with pytest.raises(ReconError, match="at least 2"):
        orbit(FULL, 1)
    with pytest.raises(ReconError, match="no views"):
        orbit([], 10)
    with pytest.raises(ReconError, match="two or more"):
        between(FULL[:1], 10)
