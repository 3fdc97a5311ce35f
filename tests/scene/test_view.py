from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recon.geometry import rigid
from recon.geometry.camera import Camera, pixel_grid
from recon.scene import View


def off_center_view(eye: tuple[float, float, float] = (3.0, -2.0, 1.0)) -> View:
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    pose = rigid.look_at(torch.tensor(eye, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), up)
    return View("a.png", Camera.pinhole(40, 30, 35.0, 33.0, 18.0, 16.5), pose)


@given(st.tuples(*[st.floats(1.0, 5.0)] * 3), st.floats(0.1, 50.0))
def test_what_is_lifted_from_pixels_falls_back_on_them(eye: tuple[float, float, float], depth: float) -> None:
    view, pixels = off_center_view(eye), pixel_grid(40, 30, torch.float64)
    back, depths, inside = view.project(view.unproject(pixels, torch.full((30, 40), depth)))
    assert bool(inside.all())
    assert torch.allclose(back, pixels)
    assert torch.allclose(depths, torch.full_like(depths, depth))


def test_points_behind_and_beside_the_image_are_not_inside() -> None:
    view = off_center_view()
    ahead, behind = torch.zeros(3), 2 * view.center
    beside = view.unproject(torch.tensor([[-0.5, 10.0]]), torch.tensor([2.0]))
    assert view.project(torch.stack([ahead.double(), behind, beside[0]]))[2].tolist() == [True, False, False]
