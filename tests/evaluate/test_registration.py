from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch

from recon.evaluate.registration import register
from recon.evaluate.renderer import SplatRenderer
from recon.geometry import rigid, spherical_harmonics
from recon.geometry.camera import Camera
from recon.io.decode import write_png
from recon.scene import Photo, Splats, View


def renderer() -> SplatRenderer:
    g = torch.Generator().manual_seed(0)
    params = {
        "means": (torch.rand(300, 3, generator=g) - 0.5) * 1.6,
        "quats": torch.randn(300, 4, generator=g),
        "log_scales": torch.rand(300, 3, generator=g) - 3.0,
        "opacity_logits": torch.full((300,), 2.5),
        "sh_coeffs": spherical_harmonics.from_rgb(torch.rand(300, 1, 3, generator=g)),
    }
    return SplatRenderer(Splats("gaussian", params), torch.zeros(3), coverage=False, antialias=False)


def photographed(folder: Path, draw: SplatRenderer) -> View:
    eye = torch.tensor([1.0, -0.5, 3.0], dtype=torch.float64)
    pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, -1, 0], dtype=torch.float64))
    view = View("a.png", Camera.pinhole(161, 121, 170.0), pose, Photo(folder / "a.png"), "test")
    write_png(folder / "a.png", (draw(view) * 255 + 0.5).byte().numpy())
    return view


def test_a_photo_that_is_a_degree_off_is_put_right(tmp_path: Path) -> None:
    draw = renderer()
    view = photographed(tmp_path, draw)
    twist = torch.tensor([0.6, -0.7, 0.3], dtype=torch.float64)
    turn = rigid.so3_exp(twist / twist.norm() * math.radians(1))
    off = rigid.from_rotation_translation(turn, torch.tensor([0.02, -0.03, 0.02], dtype=torch.float64))
    found = register(replace(view, world_to_camera=off @ view.world_to_camera), draw)
    left = found.view.world_to_camera @ rigid.inverse(view.world_to_camera)
    assert math.degrees(rigid.rotation_angle(left[:3, :3])) < 0.15  # a third of a pixel
    assert float(left[:3, 3].norm()) < 0.01
    assert 0.5 < found.turned_deg < 1.5


def test_a_photo_that_is_right_stays(tmp_path: Path) -> None:
    draw = renderer()
    view = photographed(tmp_path, draw)
    found = register(view, draw)
    left = found.view.world_to_camera @ rigid.inverse(view.world_to_camera)
    assert math.degrees(rigid.rotation_angle(left[:3, :3])) < 0.02 and found.turned_deg < 0.02
