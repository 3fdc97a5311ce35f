"""Depth Anything 3 (Lin et al. 2025): all photos at once, a depth map and a camera for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import rigid
from recon.poses.pointmap.model import Group, PointmapModel, one_group, side_by_side

_LONGEST, _PATCH = 504, 14  # what it brings photos to itself: they arrive in the shape that they are looked at in


class DepthAnything(PointmapModel):
    """The package `depth_anything_3`."""

    package = "depth_anything_3"
    install = "pip install git+https://github.com/ByteDance-Seed/Depth-Anything-3"
    download = "hf download depth-anything/DA3-LARGE --local-dir DA3-LARGE"

    def __init__(self, network: Any) -> None:
        self.network = network

    @staticmethod
    def load(checkpoint: Path, device: torch.device) -> DepthAnything:
        network = import_module("depth_anything_3.api").DepthAnything3
        return DepthAnything(network.from_pretrained(str(checkpoint)).to(device).eval())

    def groups(self, photos: Sequence[np.ndarray]) -> list[Group]:
        batch, sizes = side_by_side(photos, _LONGEST, _PATCH)
        pixels = (batch.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
        said = self.network.inference(list(pixels.numpy()), process_res=_LONGEST)
        if any(part is None for part in (said.extrinsics, said.intrinsics, said.conf)):
            raise ReconError(
                "poses.pointmap: depth-anything-3", found="a model that says nothing of cameras",
                wanted="one for any number of photos", fix=f"fetch such a one: {self.download}",
            )  # fmt: skip
        depth, K = torch.as_tensor(said.depth), torch.as_tensor(said.intrinsics)
        poses = torch.eye(4).repeat(len(K), 1, 1)
        poses[:, :3] = torch.as_tensor(said.extrinsics)[:, :3]
        height, width = depth.shape[1:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([x, y, torch.ones_like(x)], -1).float()  # its first pixel is at 0, not at one half
        local = torch.einsum("vij,hwj->vhwi", torch.linalg.inv(K), grid) * depth[..., None]
        world = rigid.transform_points(rigid.inverse(poses), local.flatten(1, 2))
        return one_group(world.unflatten(1, (height, width)), torch.as_tensor(said.conf), sizes)
