"""Repair by the network that comes with recon: nothing to download, about a second for a picture on a CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

import torch

from recon.config import config
from recon.priors.adapter import PriorConfig
from recon.priors.protocol import Repaired, RepairRequest
from recon.priors.small.inputs import layers_of
from recon.priors.small.sampling import restore
from recon.priors.small.weights import WEIGHTS, load_weights


@config
class RepairSmallConfig(PriorConfig):
    """Repair by the small network of recon."""

    extra: ClassVar[str] = ""
    repairs: ClassVar[bool] = True

    name: Literal["repair-small"] = "repair-small"
    weights: Path | None = None
    """Weights that `recon prior train` or `recon prior adapt` wrote; those that come with recon when not given."""

    @property
    def path(self) -> Path:
        """The file of the weights."""
        return self.weights or WEIGHTS

    def load(self, device: torch.device) -> RepairSmall:
        """The network on `device`; see `PriorConfig.load`."""
        return RepairSmall(self.path, device)

    def content(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.is_file() else ""


class RepairSmall:
    """A `RepairPrior`. Where it is not sure, its picture is the render."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        self.network = load_weights(weights, device)

    @torch.no_grad()
    def repair(self, request: RepairRequest) -> Repaired:
        """See `RepairPrior`."""
        layers = layers_of(request)[None]
        restored = restore(self.network, layers)
        image = restored.gated(layers[:, :3])[0].clamp(0, 1)
        return Repaired(image.permute(1, 2, 0).contiguous(), restored.confidence()[0, 0])
