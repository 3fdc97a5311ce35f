from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from textured_room import make_room

from recon.errors import ReconError
from recon.events import StageWarning
from recon.io.images import Image
from recon.poses.known import check_poses, with_points
from recon.scene import Node, Points, Scene


def changed(scene: Scene, pose: torch.Tensor) -> Scene:
    return replace(scene, views=(replace(scene.views[0], world_to_camera=pose), *scene.views[1:]))


def test_points_of_the_source_are_kept() -> None:
    room = make_room(2)
    given = room.scene.with_node(Node("points", Points(torch.rand(5, 3), torch.rand(5, 3))))

    def load(view: object) -> Image:
        raise AssertionError("no photo is needed")

    assert with_points(given, load=load) is given


def test_points_are_triangulated_where_there_are_none() -> None:
    room = make_room(3)
    points = with_points(room.scene, load=room.load).points
    assert points is not None
    assert len(points.positions) > 300


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_to_triangulate_is_a_warning(count: int) -> None:
    room = make_room(count)
    for name in room.images:
        room.images[name] = Image(np.full((360, 480, 3), 0.5, np.float32), None)
    heard: list[object] = []
    scene = with_points(room.scene, events=heard.append, load=room.load)
    assert scene.points is None
    assert [type(event) for event in heard] == [StageWarning]


def mirrored(pose: torch.Tensor) -> torch.Tensor:
    return torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64)) @ pose


def scaled(pose: torch.Tensor) -> torch.Tensor:
    return torch.diag(torch.tensor([1.2, 1.2, 1.2, 1], dtype=torch.float64)) @ pose


def broken(pose: torch.Tensor) -> torch.Tensor:
    return pose * torch.nan


@pytest.mark.parametrize("change", [mirrored, scaled, broken])
def test_poses_that_are_none_name_the_view(change: object) -> None:
    scene = make_room(2).scene
    with pytest.raises(ReconError, match=r"view 0\.png"):
        check_poses(changed(scene, change(scene.views[0].world_to_camera)))  # type: ignore[operator]


def test_cameras_in_one_place_are_refused() -> None:
    scene = make_room(2).scene
    with pytest.raises(ReconError, match="one place"):
        check_poses(changed(scene, scene.views[1].world_to_camera))


def test_good_poses_pass() -> None:
    check_poses(make_room(3).scene)
    check_poses(Scene())
