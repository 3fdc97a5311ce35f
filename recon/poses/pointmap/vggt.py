"""VGGT (Wang et al. 2025): all photos at once, all points in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.poses.pointmap.model import Group, PointmapModel, from_folder_or_file, one_group, side_by_side

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
        batch, sizes = side_by_side(photos, _LONGEST, _PATCH)
        with torch.inference_mode():
            said = self.network(batch.to(self.device))
        return one_group(said["world_points"][0], said["world_points_conf"][0], sizes)
