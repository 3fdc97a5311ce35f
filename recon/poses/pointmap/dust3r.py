"""DUSt3R (Wang et al. 2024) and MASt3R (Leroy et al. 2024): two photos at a time, points in the first one's frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from recon.poses.pointmap.model import Group, PointmapModel, as_tensor, resized

_LONGEST, _PATCH = 512, 16  # what they were trained on


class Dust3r(PointmapModel):
    """The package `dust3r`."""

    package = "dust3r"
    install = "pip install git+https://github.com/naver/dust3r"
    download = "hf download naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt --local-dir dust3r"
    network_class: ClassVar[str] = "AsymmetricCroCo3DStereo"

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network, self.device = network, device

    @classmethod
    def load(cls, checkpoint: Path, device: torch.device) -> Self:
        network = getattr(import_module(f"{cls.package}.model"), cls.network_class)
        return cls(network.from_pretrained(str(checkpoint)).to(device).eval(), device)

    def groups(self, photos: Sequence[np.ndarray]) -> list[Group]:
        views = [self._view(index, photo) for index, photo in enumerate(photos)]
        found = []
        with torch.inference_mode():
            # Both orders: each photo is the one whose frame it is once with every other.
            for i, j in itertools.permutations(range(len(photos)), 2):
                first, second = self.network(views[i], views[j])
                maps = (first["pts3d"], second["pts3d_in_other_view"])
                confidence = (first["conf"], second["conf"])
                found.append(
                    Group(
                        (i, j),
                        tuple(one[0].float().cpu() for one in maps),
                        tuple(one[0].float().cpu() for one in confidence),
                    )
                )
        return found

    def _view(self, index: int, photo: np.ndarray) -> dict[str, Any]:
        """A photo as the network takes it: colours in [-1, 1]."""
        image = 2 * as_tensor(resized(photo, _LONGEST, _PATCH))[None] - 1
        shape = torch.tensor([image.shape[2:]], dtype=torch.int32)
        return {"img": image.to(self.device), "true_shape": shape, "idx": index, "instance": str(index)}


class Mast3r(Dust3r):
    """The package `mast3r`."""

    package = "mast3r"
    install = "pip install git+https://github.com/naver/mast3r"
    download = "hf download naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric --local-dir mast3r"
    network_class = "AsymmetricMASt3R"
