"""The last bundle adjustment, with what is known of lenses beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from synthetic_photos import Shoot, make_shoot

from recon.evaluate.poses import PoseErrors, pose_errors
from recon.poses.sfm.adjust import adjust
from recon.poses.sfm.config import PolishConfig
from recon.poses.sfm.mapping import Attempt, Model, run_attempt
from recon.poses.sfm.polish import Observations, Unknowns, polish, project
from recon.scene import View


def adjusted(shoot: Shoot) -> Model:
    model = run_attempt(shoot.photos, shoot.matches, Attempt(0.8, 0))
    assert model is not None
    return adjust(model, shoot.matches, seed=0)


def errors(model: Model, shoot: Shoot) -> PoseErrors:
    views = [View(str(k), model.cameras[k], model.poses[k]) for k in model.poses]
    truth = [View(str(k), shoot.photos.features[k].camera, pose) for k, pose in enumerate(shoot.poses)]
    found = pose_errors(views, truth)
    assert found is not None
    return found


def test_a_lens_off_the_middle_is_found_out() -> None:
    shoot = make_shoot(6, points=1500, step_deg=16.0, noise_px=0.02, off_center=(10.0, -6.0))
    before = adjusted(shoot)
    after = polish(before, PolishConfig())
    a, b = errors(before, shoot), errors(after, shoot)
    assert max(b.rotation_deg) < 0.3 * max(a.rotation_deg)
    assert max(b.center) < max(a.center) and max(b.focal) < 0.003
    offset = after.cameras[0].K[:2, 2] - torch.tensor([400.0, 300.0])
    assert offset.tolist() == pytest.approx([10.0, -6.0], abs=3.0)
    assert torch.equal(after.cameras[0].K, after.cameras[5].K)


def test_noise_does_not_move_a_principal_point_in_the_middle() -> None:
    shoot = make_shoot(3, points=100, noise_px=1.0)
    before = adjusted(shoot)
    free, held = (polish(before, PolishConfig(center_spread=spread)) for spread in (10.0, 0.01))
    middle = torch.tensor([400.0, 300.0])
    far, near = (float((one.cameras[0].K[:2, 2] - middle).norm()) for one in (free, held))
    assert near < 4.0 < far  # half a per cent of the longer side
    assert max(errors(held, shoot).rotation_deg) < max(errors(free, shoot).rotation_deg)


def test_no_iterations_and_no_points_leave_everything() -> None:
    model = adjusted(make_shoot(3, noise_px=0.2))
    assert polish(model, PolishConfig(iterations=0)) is model
    empty = replace(model, positions=model.positions[:0], tracks=[])
    assert polish(empty, PolishConfig()) is empty


def test_derivatives_are_those_of_the_projection() -> None:
    torch.manual_seed(0)
    poses = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    poses[:, 2, 3] = 4.0
    now = Unknowns(
        poses,
        torch.tensor([[6.0, 320.0, 240.0, 0.1, 0.05], [6.2, 310.0, 250.0, -0.2, 0.1]], dtype=torch.float64),
        torch.randn(5, 3, dtype=torch.float64),
    )
    seen = Observations(
        torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), torch.tensor([0, 3, 4]), torch.zeros(3, 2).double()
    )
    _, by_pose, by_lens, by_point = project(now, seen)

    def pixels(cameras: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return project(now.moved(cameras, points), seen)[0]

    zero = (torch.zeros(12 + 10, dtype=torch.float64), torch.zeros(5, 3, dtype=torch.float64))
    by_cameras, by_points = torch.autograd.functional.jacobian(pixels, zero)
    for row, (camera, lens, point) in enumerate(zip(seen.camera, seen.lens, seen.point, strict=True)):
        assert torch.allclose(by_cameras[row, :, 6 * camera : 6 * camera + 6], by_pose[row], atol=1e-6)
        assert torch.allclose(by_cameras[row, :, 12 + 5 * lens : 17 + 5 * lens], by_lens[row], atol=1e-6)
        assert torch.allclose(by_points[row, :, point], by_point[row], atol=1e-6)
