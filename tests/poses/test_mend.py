"""Known cameras that matches contradict."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from synthetic_photos import make_shoot
from textured_room import Room, make_room, with_splits

from recon.evaluate.poses import PoseErrors, pose_errors
from recon.events import ignore
from recon.geometry import rigid
from recon.poses.estimators.estimator import PoseInput
from recon.poses.estimators.known import KnownPoses
from recon.poses.sfm.config import PolishConfig, SfmConfig
from recon.poses.sfm.rework import rework
from recon.scene import Scene, View


def disturbed(view: View, generator: torch.Generator) -> View:
    """Turned by a degree and moved by a hundredth of the distances between the cameras."""
    turn, shift = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=1)
    R = rigid.so3_exp(math.radians(1.0) * turn) @ view.world_to_camera[:3, :3]
    center = view.center + 0.02 * shift
    return replace(view, world_to_camera=rigid.from_rotation_translation(R, -(R @ center)))


def estimate(room: Room, scene: Scene, may_mend: bool = True) -> tuple[Scene, str]:
    found = KnownPoses(SfmConfig(), may_mend, room.load).estimate(PoseInput(scene, 0, ignore))
    return found.scene, found.summary


def errors(scene: Scene, truth: Scene) -> PoseErrors:
    found = pose_errors(scene.split("train"), truth.split("train"))
    assert found is not None
    return found


def test_rough_cameras_come_back_in_the_frame_that_they_came_in() -> None:
    room = make_room(5)
    truth = with_splits(room, {"4.png"})
    generator = torch.Generator().manual_seed(0)
    rough = replace(truth, views=tuple(disturbed(view, generator) for view in truth.views))
    found, said = estimate(room, rough)
    before, after = errors(rough, truth), errors(found, truth)
    assert said == "poses adjusted to matches"
    assert max(after.rotation_deg) < 0.2 < 0.7 < max(before.rotation_deg) and max(after.center) < 0.004
    for view, given in zip(found.split("train"), rough.split("train"), strict=True):
        assert float((view.center - given.center).norm()) < 0.1, "no other frame and no other size"
        assert view.camera is given.camera
    assert found.split("test")[0].world_to_camera is rough.split("test")[0].world_to_camera


def test_rough_cameras_come_back_through_wrong_matches() -> None:
    shoot = make_shoot(6, wrong=0.1)
    cameras = {k: features.camera for k, features in enumerate(shoot.photos.features)}
    generator = torch.Generator().manual_seed(0)
    poses = {}
    for k, pose in enumerate(shoot.poses):
        turn = rigid.so3_exp(0.03 * torch.randn(3, generator=generator, dtype=torch.float64))
        poses[k] = rigid.from_rotation_translation(turn, torch.zeros(3).double()) @ pose
    model = rework(shoot.photos, shoot.matches, poses, cameras, PolishConfig(), known_lenses=True)
    views = [View(str(k), cameras[k], model.poses[k]) for k in poses]
    found = pose_errors(views, [View(str(k), cameras[k], pose) for k, pose in enumerate(shoot.poses)])
    assert found is not None and max(found.rotation_deg) < 0.2


def test_good_cameras_and_those_that_may_not_change_stay() -> None:
    room = make_room(4)
    found, said = estimate(room, room.scene)
    assert said == "poses as they came" and found is room.scene
    generator = torch.Generator().manual_seed(0)
    rough = replace(room.scene, views=tuple(disturbed(view, generator) for view in room.scene.views))
    assert estimate(room, rough, may_mend=False)[0] is rough
