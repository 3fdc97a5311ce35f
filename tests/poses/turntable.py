"""Cut-out photos all around a procedural object, with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from recon_datasets import SCENES, cameras_of, render_view, truth_mesh

from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.render.distance import sample_surface
from recon.scene import Photo, View


@dataclass(frozen=True)
class Turntable:
    """Views of an object and what they show; the background is cut away."""

    views: tuple[View, ...]
    images: tuple[Image, ...]
    surface: torch.Tensor
    """[N, 3], points all over the true surface."""
    diagonal: float
    """Of the box around it."""

    def load(self, view: View) -> Image:
        """What `load_image` does, from memory."""
        return self.images[[one.name for one in self.views].index(view.name)]


@lru_cache
def make_turntable(count: int, width: int = 160, height: int = 120, scene: str = "table") -> Turntable:
    """`count` photos evenly around the scene's object."""
    model = SCENES[scene](0)
    views, images = [], []
    for index, camera in enumerate(cameras_of(model, count, width, height, 0, "orbit", center=(0.5, 0.5))):
        seen = render_view(model, camera, 1)
        name = f"{index}.png"
        lens = Camera(width, height, torch.from_numpy(camera.K))
        views.append(View(name, lens, torch.from_numpy(camera.world_to_camera), Photo(Path(name))))
        images.append(Image(seen.rgb.astype(np.float32) / 255, seen.mask.astype(np.float32)))
    vertices, faces, *_ = truth_mesh(model, object_only=True)
    mesh = torch.from_numpy(vertices).float(), torch.from_numpy(faces).long()
    points = sample_surface(*mesh, 5000)[0]
    diagonal = float((mesh[0].max(0).values - mesh[0].min(0).values).norm())
    return Turntable(tuple(views), tuple(images), points, diagonal)
