"""A few photos of a handful of Gaussians, rendered by the core: a scene that an optimisation can win."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.geometry import rigid, spherical_harmonics
from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.render.rasterize import rasterize
from recon.scene import Node, Photo, Points, Scene, View

SIZE = (72, 56)


@dataclass
class Capture:
    """A scene with points, its photos in memory, and the truth."""

    scene: Scene
    images: dict[str, Image]
    truth: dict[str, Tensor]


def make_capture(
    views: int = 5, gaussians: int = 60, points: int | None = 60, alpha: bool = False, background: float = 0.0
) -> Capture:
    """Cameras on an arc around the origin, the last one held out; `points` noisy samples of the truth's centres."""
    g = torch.Generator().manual_seed(0)
    truth = {
        "means": (torch.rand(gaussians, 3, generator=g) - 0.5) * 1.6,
        "quats": torch.randn(gaussians, 4, generator=g),
        "log_scales": torch.rand(gaussians, 3, generator=g) - 2.6,
        "opacity_logits": torch.full((gaussians,), 2.5),
        "sh_coeffs": spherical_harmonics.from_rgb(torch.rand(gaussians, 1, 3, generator=g)),
    }
    list_of_views, images = [], {}
    for k in range(views + 1):
        angle = 2 * math.pi * (k if k < views else 0.5) / views / 2
        eye = torch.tensor([3 * math.sin(angle), -0.5, 3 * math.cos(angle)], dtype=torch.float64)
        pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, -1, 0], dtype=torch.float64))
        camera = Camera.pinhole(*SIZE, 80.0)
        name = f"{k:02d}.png"
        list_of_views.append(View(name, camera, pose, Photo(Path(name)), "train" if k < views else "test"))
        render = rasterize(truth, pose.float(), camera.K.float(), *SIZE, background=torch.full((3,), background))
        rgb, coverage = render.color.clamp(0, 1).numpy(), render.alpha.numpy()
        if alpha:  # straight colours, as image files store them
            rgb = np.clip(rgb / np.maximum(coverage, 1e-3)[..., None], 0, 1)
        images[name] = Image(np.ascontiguousarray(rgb), coverage if alpha else None)
    scene = Scene(tuple(list_of_views))
    if points:
        noisy = truth["means"][:points] + 0.02 * torch.randn(min(points, gaussians), 3, generator=g)
        colors = spherical_harmonics.to_rgb(truth["sh_coeffs"][:points, 0])
        scene = scene.with_node(Node("points", Points(noisy, colors)))
    return Capture(scene, images, truth)
