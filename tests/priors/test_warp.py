"""Photos seen from elsewhere, against closed forms on a textured wall."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera, pixel_grid
from recon.priors.warp import Seen, agreement, confidence, warp
from recon.scene import View

WIDTH, HEIGHT, FOCAL, WALL = 40, 30, 50.0, 4.0


def view_at(x: float) -> View:
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = -x
    return View(f"{x}", Camera.pinhole(WIDTH, HEIGHT, FOCAL), pose)


def wall_from(view: View) -> Seen:
    """A wall at z = 4 whose colour is smooth in its coordinates."""
    grid = pixel_grid(WIDTH, HEIGHT, torch.float64)
    points = view.unproject(grid, torch.full((HEIGHT, WIDTH), WALL))
    color = 0.5 + 0.4 * torch.stack([points[..., 0].sin(), points[..., 1].cos(), (points[..., 0] / 2).cos()], -1)
    return Seen(color.float(), torch.full((HEIGHT, WIDTH), WALL), view)


def test_a_wall_is_the_same_from_everywhere_and_what_is_outside_is_not_valid() -> None:
    here, there = wall_from(view_at(0.0)), wall_from(view_at(0.4))
    image, valid = warp(there, here.camera, here.depth)
    # The other camera shows the wall 0.4 further right: 0.4 * 50 / 4 = 5 columns on the left are not in its picture.
    assert valid[:, 5:].all() and not valid[:, :5].any()
    assert (image - here.image)[valid].abs().max() < 2e-3  # bilinear in a smooth picture
    assert (image[~valid] == 0).all()


def test_what_something_hides_is_not_valid() -> None:
    here, there = wall_from(view_at(0.0)), wall_from(view_at(0.4))
    depth = there.depth.clone()
    depth[:, 10:20] = 2.0  # a pillar before the wall
    _, valid = warp(replace(there, depth=depth), here.camera, here.depth)
    assert not valid[:, 16:24].any()
    assert valid[:, 27:].all()


def test_a_point_behind_the_source_is_not_valid() -> None:
    here = wall_from(view_at(0.0))
    pose = rigid.look_at(torch.tensor([0.0, 0, 6]), torch.tensor([0.0, 0, 9]), torch.tensor([0.0, -1, 0])).double()
    _, valid = warp(replace(here, camera=replace(here.camera, world_to_camera=pose)), here.camera, here.depth)
    assert not valid.any()


def test_confidence_grows_with_opacity_coverage_and_agreement() -> None:
    here, alpha = wall_from(view_at(0.0)), torch.full((HEIGHT, WIDTH), 0.5)
    one = [warp(wall_from(view_at(0.4)), here.camera, here.depth)]
    two = [*one, warp(wall_from(view_at(-0.4)), here.camera, here.depth)]

    def middle(warped: list[tuple[Tensor, Tensor]], alpha: Tensor, image: Tensor = here.image) -> float:
        return float(confidence(image, alpha, warped)[:, 10:30].mean())

    assert middle(one, alpha) < middle(two, alpha) < middle(two, 2 * alpha) < 1
    assert middle(two, alpha, (here.image + 0.3).clamp(0, 1)) < 0.1 * middle(two, alpha)
    assert middle([], alpha) == 0


def test_pictures_agree_where_they_show_the_same_and_noise_does_not() -> None:
    scenes = [wall_from(view_at(x)) for x in (0.0, 0.4, 0.8)]
    good = agreement(scenes, unseen=0.5)
    assert all(float(one.median()) > 0.99 for one in good)
    g = torch.Generator().manual_seed(0)
    noise = agreement([replace(one, image=torch.rand(HEIGHT, WIDTH, 3, generator=g)) for one in scenes], unseen=0.5)
    assert all(float(one[:, 20:].mean()) < 0.4 for one in noise)
    alone = agreement(scenes[:1], unseen=0.5)
    assert (alone[0] == 0.5).all()
