"""Novel views that the optimisation trains on, and how much each of their pixels counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry.camera import Camera
from recon.scene.nodes import View


@dataclass(frozen=True)
class NovelViews:
    """V views of one size; part of a checkpoint, because they were made by the splats of an earlier iteration."""

    images: Tensor
    """[V, H, W, 3], repaired."""
    weights: Tensor
    """[V, H, W] in [0, 1], how much a pixel of `images` counts; 0 where nothing repaired it."""
    unsure: Tensor
    """[V, H, W] in [0, 1], how unsure the scene was."""
    world_to_camera: Tensor
    """[V, 4, 4] float64, on the CPU."""
    Ks: Tensor
    """[V, 3, 3] float64, px, on the CPU."""

    @staticmethod
    def none() -> NovelViews:
        """No view, where the scene is sure of too little to look from anywhere."""
        planes = torch.zeros(0, 1, 1)
        return NovelViews(torch.zeros(0, 1, 1, 3), planes, planes, torch.zeros(0, 4, 4), torch.zeros(0, 3, 3))

    def __len__(self) -> int:
        return len(self.images)

    def camera(self, index: int) -> View:
        """The camera of view `index`."""
        height, width = self.images.shape[1:3]
        return View(f"novel {index}", Camera(width, height, self.Ks[index]), self.world_to_camera[index])

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        return dict(vars(self))

    def to(self, device: torch.device) -> NovelViews:
        """The pictures on `device`; cameras stay on the CPU."""
        return NovelViews(
            self.images.to(device), self.weights.to(device), self.unsure.to(device), self.world_to_camera, self.Ks
        )

    @staticmethod
    def restored(tensors: Mapping[str, Tensor]) -> NovelViews | None:
        """Those of a checkpoint; None when it has none."""
        return NovelViews(**tensors) if tensors else None
