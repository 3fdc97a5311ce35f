from __future__ import annotations

import math

import pytest
import torch

from recon.events import StageWarning
from recon.geometry import camera, rigid
from recon.geometry.camera import Camera
from recon.scene import Node, Points, Scene, View
from recon.splats.init import (
    InitConfig,
    initial_opacity,
    initial_seeds,
    random_points,
    with_midpoints,
)


def ring(count: int = 4, radius: float = 3.0) -> tuple[View, ...]:
    """Cameras on a circle that look at the origin."""
    views = []
    for k in range(count):
        angle = torch.tensor(2 * math.pi * k / count, dtype=torch.float64)
        eye = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.tensor(0.5, dtype=torch.float64)])
        pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0, 1], dtype=torch.float64))
        views.append(View(f"{k}.png", Camera.pinhole(64, 48, 60.0), pose))
    return tuple(views)


def scene_with(positions: torch.Tensor, **more: torch.Tensor) -> Scene:
    points = Points(positions, torch.rand(len(positions), 3, generator=torch.Generator().manual_seed(1)), **more)
    return Scene(ring()).with_node(Node("points", points))


def ignore(event: object) -> None:
    raise AssertionError(f"unexpected event {event}")


def test_sizes_follow_the_neighbors_and_stay_below_the_cameras_distance() -> None:
    cluster = torch.cartesian_prod(*[torch.arange(5.0) * 0.01] * 3)
    far = torch.tensor([[0.0, 0.0, 40.0]])
    seeds = initial_seeds(scene_with(torch.cat([cluster, far])), InitConfig(), torch.Generator(), ignore)
    assert torch.allclose(seeds.radii[:125], torch.full((125,), 0.01), rtol=1e-4)
    centers = torch.stack([view.center for view in ring()]).float()
    assert seeds.radii[125] == pytest.approx(0.1 * float((centers - far).norm(dim=-1).min()), rel=1e-5)


def test_coincident_points_get_a_positive_size() -> None:
    seeds = initial_seeds(scene_with(torch.zeros(60, 3)), InitConfig(), torch.Generator(), ignore)
    assert bool((seeds.radii > 0).all())
    assert bool(seeds.radii.log().isfinite().all())


def test_scales_of_the_points_win_over_distances() -> None:
    positions = torch.rand(80, 3, generator=torch.Generator().manual_seed(0))
    seeds = initial_seeds(
        scene_with(positions, scales=torch.full((80,), 0.02)), InitConfig(scale=2.0), torch.Generator(), ignore
    )
    assert torch.allclose(seeds.radii, torch.full((80,), 0.04))


def test_points_that_are_no_numbers_are_left_out() -> None:
    positions = torch.rand(70, 3, generator=torch.Generator().manual_seed(0))
    positions[3, 1] = torch.nan
    positions[9, 0] = torch.inf
    seeds = initial_seeds(scene_with(positions), InitConfig(), torch.Generator(), ignore)
    assert len(seeds.positions) == 68
    assert bool(seeds.positions.isfinite().all())


def test_without_points_the_start_is_random_and_said_aloud() -> None:
    heard: list[object] = []
    config = InitConfig(random_points=500)
    seeds = initial_seeds(Scene(ring()), config, torch.Generator().manual_seed(3), heard.append)
    assert len(seeds.positions) == 500
    assert len(heard) == 1 and isinstance(heard[0], StageWarning)
    assert "random" in heard[0].message
    again = initial_seeds(Scene(ring()), config, torch.Generator().manual_seed(3), heard.append)
    assert torch.equal(seeds.positions, again.positions)


def test_random_points_are_seen_by_a_camera() -> None:
    views = ring()
    points = random_points(views, 3.0, 400, torch.Generator().manual_seed(0)).positions.double()
    seen = torch.zeros(400, dtype=torch.bool)
    for view in views:
        local = rigid.transform_points(view.world_to_camera, points)
        pixels = camera.project(local, view.camera.K)
        size = torch.tensor([view.camera.width, view.camera.height])
        # Half a pixel of slack covers rounding to float32 at the image border.
        seen |= (local[:, 2] > 0) & (pixels > -0.5).all(-1) & (pixels < size + 0.5).all(-1)
    assert bool(seen.all())


def test_midpoints_lie_between_neighbors_and_come_once() -> None:
    positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [10, 0, 0]])
    colors = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 1, 0]])
    more = with_midpoints(Points(positions, colors), 1)
    # 0 and 1 are each other's nearest (one midpoint), 2's nearest is 1.
    assert torch.equal(more.positions[3:], torch.tensor([[0.5, 0, 0], [5.5, 0, 0]]))
    assert torch.equal(more.colors[3:], torch.tensor([[0.5, 0.5, 0.5], [0.5, 1.0, 0.5]]))
    assert more.scales is None and more.normals is None


def test_midpoints_of_dense_points_fill_gaps_alone() -> None:
    positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [10, 0, 0]])
    up = torch.tensor([[0.0, 0, 1]]).repeat(3, 1)
    more = with_midpoints(Points(positions, torch.rand(3, 3), up, torch.full((3,), 0.4)), 1, gap=2.0)
    assert torch.equal(more.positions[3:], torch.tensor([[5.5, 0, 0]])), "0 and 1 nearly touch"
    assert more.scales is not None and more.normals is not None
    assert torch.equal(more.scales, torch.tensor([0.4, 0.4, 0.4, 9 / 4])) and torch.equal(more.normals[3:], up[:1])


def test_dense_points_start_more_opaque() -> None:
    positions = torch.rand(60, 3)
    assert initial_opacity(scene_with(positions), InitConfig()) == 0.1
    assert initial_opacity(scene_with(positions, scales=torch.ones(60)), InitConfig()) == 0.3
    assert initial_opacity(scene_with(positions, scales=torch.ones(60)), InitConfig(opacity=0.5)) == 0.5
