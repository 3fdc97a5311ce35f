"""VGGT (Wang et al. 2025): all photos at once, all points in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.poses.pointmap.model import Group, PointmapModel, as_tensor, from_folder_or_file, resized

_LONGEST, _PATCH = 518, 14  # what it was trained on


class Vggt(PointmapModel):
    """The package `vggt`."""

    package = "vggt"
    install = "pip install git+https://github.com/facebookresearch/vggt"
    download = "hf download facebook/VGGT-1B --local-dir VGGT-1B"

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network, self.device = network, device

    @staticmethod
    def load(checkpoint: Path, device: torch.device) -> Vggt:
        network = import_module("vggt.models.vggt").VGGT
        return Vggt(from_folder_or_file(network, checkpoint).to(device).eval(), device)

    def groups(self, photos: Sequence[np.ndarray]) -> list[Group]:
        small = [as_tensor(resized(photo, _LONGEST, _PATCH)) for photo in photos]
        height, width = (max(one.shape[axis] for one in small) for axis in (1, 2))
        batch = torch.ones(len(small), 3, height, width)  # photos of other shapes are filled up with white
        for index, one in enumerate(small):
            batch[index, :, : one.shape[1], : one.shape[2]] = one
        with torch.inference_mode():
            said = self.network(batch.to(self.device))
        points, confidence = said["world_points"][0].float().cpu(), said["world_points_conf"][0].float().cpu()
        sizes = [one.shape[1:] for one in small]
        return [
            Group(
                tuple(range(len(photos))),
                tuple(points[index, :h, :w].clone() for index, (h, w) in enumerate(sizes)),
                tuple(confidence[index, :h, :w].clone() for index, (h, w) in enumerate(sizes)),
            )
        ]
