"""Cameras that are optimised along with the splats."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_capture import make_capture

from recon.evaluate.poses import pose_errors
from recon.geometry import rigid
from recon.render.rasterize import rasterize
from recon.scene import Scene
from recon.splats.config import SplatsConfig
from recon.splats.optimize import optimize
from recon.splats.poses import Cameras, RefineConfig, corrected, stretched


def disturbed(scene: Scene, degrees: float) -> Scene:
    generator = torch.Generator().manual_seed(1)
    views = []
    for view in scene.views:
        axis = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
        turn = rigid.from_rotation_translation(rigid.so3_exp(axis * math.radians(degrees)), torch.zeros(3).double())
        views.append(replace(view, world_to_camera=turn @ view.world_to_camera))
    return replace(scene, views=tuple(views))


def worst_deg(scene: Scene, truth: Scene) -> float:
    errors = pose_errors(scene.split("train"), truth.split("train"))
    assert errors is not None
    return max(errors.rotation_deg)


def test_disturbed_cameras_come_back_and_good_ones_stay() -> None:
    capture = make_capture(views=6)
    config = SplatsConfig(iterations=400)
    rough = disturbed(capture.scene, 1.0)
    refined = optimize(rough, config, images=capture.images, refine_poses=True).scene
    assert worst_deg(refined, capture.scene) < 0.5 * worst_deg(rough, capture.scene)
    good = optimize(capture.scene, config, images=capture.images, refine_poses=True).scene
    assert worst_deg(good, capture.scene) < 0.5  # two thirds of one of its large pixels
    assert torch.equal(good.views[-1].world_to_camera, capture.scene.views[-1].world_to_camera)  # held out


def test_cameras_stay_when_nobody_asked() -> None:
    capture = make_capture()
    scene = optimize(capture.scene, SplatsConfig(iterations=20), images=capture.images).scene
    assert all(a.world_to_camera is b.world_to_camera for a, b in zip(scene.views, capture.scene.views, strict=True))


def test_a_resumed_run_corrects_cameras_as_one_without_a_stop(tmp_path: Path) -> None:
    capture = make_capture()
    config = SplatsConfig(iterations=60)
    whole = optimize(capture.scene, config, images=capture.images, refine_poses=True)
    asked = iter(range(1000))
    optimize(capture.scene, config, images=capture.images, refine_poses=True, checkpoint_dir=tmp_path,
             should_stop=lambda: next(asked) == 30)  # fmt: skip
    rest = optimize(capture.scene, config, images=capture.images, refine_poses=True, resume_from=tmp_path)
    for a, b in zip(whole.scene.views, rest.scene.views, strict=True):
        assert torch.equal(a.world_to_camera, b.world_to_camera)


def test_a_wrong_focal_length_gets_better_and_a_right_one_stays() -> None:
    capture = make_capture(views=6, gaussians=150, points=150)

    def error(scene: Scene) -> float:
        return abs(float(scene.views[-1].camera.K[0, 0]) / 80.0 - 1)

    lens = capture.scene.views[0].camera
    long = replace(lens, K=lens.K * torch.tensor([[1.04, 1, 1], [1, 1.04, 1], [1, 1, 1]]))
    wrong = replace(capture.scene, views=tuple(replace(view, camera=long) for view in capture.scene.views))
    config = SplatsConfig(iterations=1000, refine=RefineConfig(focal=True))
    assert error(wrong) == pytest.approx(0.04)
    # Splats that are further away look much the same, so that it takes long.
    assert error(optimize(wrong, config, images=capture.images, refine_poses=True).scene) < 0.03
    good = optimize(capture.scene, config, images=capture.images, refine_poses=True).scene
    assert error(good) < 0.005
    held = optimize(wrong, SplatsConfig(iterations=20), images=capture.images, refine_poses=True).scene
    assert error(held) == pytest.approx(0.04), "unless nobody asked"


def test_what_stretching_a_camera_does_is_what_a_longer_lens_does() -> None:
    capture = make_capture()
    view, splats = capture.scene.views[1], capture.truth
    target = torch.rand(56, 72, 3, generator=torch.Generator().manual_seed(0))

    def loss(pose: torch.Tensor, longer: float = 0.0) -> torch.Tensor:
        K = view.camera.K.float() * torch.tensor([[1 + longer, 1, 1], [1, 1 + longer, 1], [1, 1, 1]])
        return (rasterize(splats, pose, K, 72, 56).color - target).square().mean()

    by = torch.zeros((), requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(stretched(view.world_to_camera.float(), by)), by)
    step = 1e-3
    measured = (loss(view.world_to_camera.float(), step) - loss(view.world_to_camera.float(), -step)) / (2 * step)
    # Splats that fade below the least opacity and out of the picture make up the rest.
    assert float(gradient) == pytest.approx(float(measured), rel=0.05)


def some_cameras() -> Cameras:
    capture = make_capture(views=6)
    return Cameras.start([view.world_to_camera for view in capture.scene.split("train")], 2.0)


def test_what_a_similarity_of_all_cameras_would_do_is_taken_out() -> None:
    cameras = some_cameras()
    centers = rigid.camera_center(cameras.given) / cameras.extent
    middle = centers - centers.mean(0)
    omega = torch.tensor([0.01, -0.02, 0.03])
    cameras.delta[:, :3] = omega
    cameras.delta[:, 3:] = torch.linalg.cross(omega.expand(6, 3), middle) + 0.1 * middle + 0.02
    cameras.step(0, torch.zeros(6), 0.5, RefineConfig())
    assert float(cameras.delta.abs().max()) < 1e-5


def test_cameras_go_no_further_than_they_may() -> None:
    cameras, config = some_cameras(), RefineConfig(rotation_rate=0.5, translation_rate=0.5)
    for index in range(6):
        cameras.step(index, torch.randn(6, generator=torch.Generator().manual_seed(index)), 0.3, config)
    assert float(cameras.delta[:, :3].norm(dim=1).max()) <= math.radians(config.max_rotation_deg) * 1.0001
    assert float(cameras.delta[:, 3:].norm(dim=1).max()) <= config.max_translation * 1.0001


def test_a_gradient_that_is_no_number_moves_nothing() -> None:
    cameras = some_cameras()
    cameras.step(1, torch.full((6,), float("nan")), 0.5, RefineConfig())
    assert float(cameras.delta.abs().max()) == 0


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.1, -0.2, 0.3)])
def test_a_turned_camera_stays_where_it_is(turn: tuple[float, ...]) -> None:
    pose = some_cameras().given[2]
    moved = corrected(pose, torch.tensor([*turn, 0.0, 0.0, 0.5]), 2.0)
    assert torch.allclose(rigid.camera_center(moved), rigid.camera_center(pose) + torch.tensor([0, 0, 1.0]), atol=1e-5)
    assert math.isclose(
        rigid.rotation_angle(moved[:3, :3] @ pose[:3, :3].T), float(torch.tensor(turn).norm()), abs_tol=1e-4
    )
