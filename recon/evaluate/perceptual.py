"""LPIPS (Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018), where its weights are at hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], float]
"""Of two pictures [H, W, 3] in [0, 1]; 0 for equal ones."""

_NETWORKS = {"vgg": "vgg16-*.pth", "alex": "alexnet-*.pth"}
"""Files in torch hub's `checkpoints`, by what the package `lpips` calls their network; the first that is there."""


@cache
def lpips() -> Distance | None:
    """The distance; None where the package `lpips` or its network's weights are not there: it would download them."""
    if find_spec("lpips") is None:
        return None
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    name = next((name for name, files in _NETWORKS.items() if any(folder.glob(files))), None)
    if name is None:
        return None
    network = import_module("lpips").LPIPS(net=name, verbose=False).eval()

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> float:
        first, second = (image.permute(2, 0, 1)[None].float() for image in (a, b))
        return float(network(first, second, normalize=True))

    return distance
