from __future__ import annotations

import math

import pytest
import torch

from recon.evaluate.poses import pose_errors
from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.scene import View


def ring(count: int = 5) -> list[View]:
    views = []
    for k in range(count):
        angle = 0.3 * k
        eye = torch.tensor([3 * math.sin(angle), 0.4 * k, -3 * math.cos(angle)], dtype=torch.float64)
        up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), up)
        views.append(View(f"{k}.png", Camera.pinhole(80, 60, 70.0), pose))
    return views


def moved(views: list[View], scale: float) -> list[View]:
    """The same cameras in a frame that is turned, shifted and scaled."""
    R = rigid.so3_exp(torch.tensor([0.4, -1.0, 0.3], dtype=torch.float64))
    shift = torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64)
    result = []
    for view in views:
        rotation = view.world_to_camera[:3, :3] @ R.T
        center = scale * R @ view.center + shift
        pose = rigid.from_rotation_translation(rotation, -rotation @ center)
        result.append(View(view.name, view.camera, pose))
    return result


def test_another_frame_and_scale_is_no_error() -> None:
    errors = pose_errors(moved(ring(), 7.0), ring())
    assert errors is not None
    assert max(errors.rotation_deg) < 1e-4 and max(errors.center) < 1e-9 and max(errors.relative_deg) < 1e-4
    assert errors.auc(5) == pytest.approx(1.0, abs=1e-4)


def test_one_turned_camera_stands_out() -> None:
    views = moved(ring(), 2.0)
    turn = rigid.from_rotation_translation(
        rigid.so3_exp(torch.tensor([0.0, math.radians(2), 0.0], dtype=torch.float64)), torch.zeros(3).double()
    )
    views[2] = View("2.png", views[2].camera, turn @ views[2].world_to_camera)
    errors = pose_errors(views, ring())
    assert errors is not None
    assert errors.rotation_deg[2] == pytest.approx(2.0, abs=0.5) and max(errors.rotation_deg[:2]) < 0.5
    # Four of ten pairs have the turned camera, by two degrees of five.
    assert errors.auc(5) == pytest.approx(1 - 0.4 * 2 / 5, abs=0.05)


def test_focal_lengths_are_compared_in_widths() -> None:
    estimated = [View(v.name, Camera.pinhole(160, 120, 154.0), v.world_to_camera) for v in ring()]
    errors = pose_errors(estimated, ring())
    assert errors is not None and errors.focal == pytest.approx([0.1] * 5)


def test_views_without_a_counterpart_are_not_compared() -> None:
    assert pose_errors(ring(5), ring(1)) is None
    errors = pose_errors(ring(5), ring(3))
    assert errors is not None and len(errors.rotation_deg) == 3
