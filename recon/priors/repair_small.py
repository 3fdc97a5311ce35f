"""Repair by the network that comes with recon: nothing to download, about a second for a picture on a CPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from recon.config import config
from recon.priors.adapter import PriorConfig
from recon.priors.protocol import Pair, Repaired, RepairRequest
from recon.priors.small.adapt import AdaptSettings, adapt
from recon.priors.small.inputs import layers_of
from recon.priors.small.sampling import restore
from recon.priors.small.weights import WEIGHTS, load_weights


@config
class RepairSmallConfig(PriorConfig):
    """Repair by the small network of recon."""

    repairs: ClassVar[bool] = True

    name: Literal["repair-small"] = "repair-small"
    weights: Path | None = None
    """Weights that `recon prior train` wrote; those that come with recon when not given."""
    steps: int = 1
    """Steps from noise to picture, of weights that are a diffusion model."""
    adapt: AdaptSettings | None = None
    """Learn each scene from its own photos first, such as `{steps: 150}`; see `splats.guidance.pairs`."""

    @property
    def path(self) -> Path:
        """The file of the weights."""
        return self.weights or WEIGHTS

    def load(self, device: torch.device) -> RepairSmall:
        """The network on `device`; see `PriorConfig.load`."""
        return RepairSmall(self, device)

    def content(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.is_file() else ""


class RepairSmall:
    """A `RepairPrior` that tells how much of its picture to take, and an `AdaptivePrior` where `adapt` is set."""

    def __init__(self, config: RepairSmallConfig, device: torch.device) -> None:
        self.config, self.network = config, load_weights(config.path, device)

    @torch.no_grad()
    def repair(self, request: RepairRequest) -> Repaired:
        """See `RepairPrior`."""
        restored = restore(self.network, layers_of(request)[None], self.config.steps)
        image = restored.image[0].permute(1, 2, 0).contiguous()
        return Repaired(image, restored.confidence()[0, 0], restored.gate[0, 0])

    @property
    def learns(self) -> bool:
        """See `AdaptivePrior`."""
        return self.config.adapt is not None

    def adapt(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """See `AdaptivePrior`. All weights change, and all are returned, in half precision."""
        assert self.config.adapt is not None
        adapt(self.network, pairs, self.config.adapt)
        learnt = {name: value.detach().cpu().half() for name, value in self.network.state_dict().items()}
        self.restore(learnt)
        return learnt

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `AdaptivePrior`."""
        self.network.load_state_dict({name: value.float() for name, value in tensors.items()})
