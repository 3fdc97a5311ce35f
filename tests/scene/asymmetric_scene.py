"""A small scene in which no two axes, channels or coefficients are alike, so that any mix-up shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion
from recon.scene import Mesh, Node, Photo, Points, Relation, Scene, Splats, View


def splats(count: int = 7) -> Splats:
    """Off-origin, anisotropic, quaternions not normalised, 48 different SH values each."""
    random = torch.Generator().manual_seed(5)
    spread = torch.tensor([1.0, 0.3, 2.0])
    return Splats(
        "gaussian",
        {
            "means": torch.tensor([3.0, -7.0, 11.0]) + spread * torch.randn(count, 3, generator=random),
            "quats": 2.5 * torch.randn(count, 4, generator=random),
            "log_scales": torch.tensor([-4.0, -2.0, 0.5]) + 0.1 * torch.randn(count, 3, generator=random),
            "opacity_logits": torch.linspace(-6, 6, count),
            "sh_coeffs": (torch.arange(count * 48).reshape(count, 16, 3) * 0.37).sin() * 0.4,
        },
    )


def scene(folder: Path) -> Scene:
    """Views inside and outside `folder`, points, a splat set, a textured mesh below a moved group, a relation."""
    random = torch.Generator().manual_seed(6)
    photo, mask = folder / "a.png", folder / "a-mask.png"
    target, up = torch.tensor([3.0, -7.0, 11.0]).double(), torch.tensor([0.1, 1.0, -0.2]).double()
    K = torch.tensor([[301.1, 0, 90.7], [0, 287.3, 141.9], [0, 0, 1]], dtype=torch.float64)
    lens = Distortion("opencv", (0.1, -0.02, 0.003, -0.0004, 1 / 3))
    views = (
        View("a.png", Camera(200, 260, K, lens),
             rigid.look_at(torch.tensor([1.0, 2.0, 3.0]).double() / 3, target, up), Photo(photo, mask)),
        View("b.png", Camera(64, 48, K / 3, Distortion("fisheye", (0.1, 0.2, 0.3, 0.4))),
             rigid.look_at(torch.tensor([9.0, -2.0, 3.3]).double(), target, up),
             Photo(Path("/elsewhere/b.png")), "test"),
        View("c", Camera.pinhole(10, 20, 33.3),
             rigid.look_at(torch.tensor([-1.0, -2.0, 30.0]).double(), target, up)),
    )  # fmt: skip
    cloud = Points(
        torch.randn(5, 3, generator=random) + 4, torch.rand(5, 3, generator=random),
        torch.nn.functional.normalize(torch.randn(5, 3, generator=random), dim=-1), torch.rand(5, generator=random),
    )  # fmt: skip
    mesh = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]) + 5, torch.tensor([[0, 2, 1], [0, 1, 3]]),
        torch.eye(4)[:, :3] + torch.tensor([0.0, 0, 1])[None] * torch.tensor([0.0, 0, 0, 1])[:, None],
        torch.tensor([[0.0, 0], [1, 0], [0, 0.5], [1, 1]]), torch.rand(4, 3, generator=random),
        np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3),
    )  # fmt: skip
    moved = torch.eye(4, dtype=torch.float64)
    moved[:3, 3] = torch.tensor([0.1, 0.2, 0.3])
    source = torch.eye(4, dtype=torch.float64)
    source[:3] = torch.arange(12).reshape(3, 4).double() / 7
    return Scene(
        views,
        (
            Node("points", cloud), Node("splats", splats()), Node("room", None, "region", None, moved),
            Node("vase/1", mesh, "object", "room", moved @ moved),
        ),
        (Relation("room", "contains", "vase/1"), Relation("vase/1", "seen by", "a.png")),
        True,
        source,
    )  # fmt: skip
