"""The base of all entries of `splats.priors`: what an adapter needs, and how it is loaded."""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

import torch

from recon.config import config
from recon.priors.protocol import Prior


@config
class PackagesConfig:
    """Settings of what other packages run. Importing its file must import neither them nor the native core."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Packages that it imports beside recon's own."""
    extra: ClassVar[str] = "diffusion"
    """The extra of recon that brings them."""
    model: ClassVar[str] = ""
    """A public checkpoint that fits, by its name on the Hugging Face hub; empty where nothing is to be downloaded."""

    @classmethod
    def missing(cls) -> list[str]:
        """Packages that are not installed."""
        return [name for name in cls.packages if find_spec(name) is None]


@config
class PriorConfig(PackagesConfig):
    """Settings of one prior."""

    repairs: ClassVar[bool] = False
    """Whether what it loads takes damage out of renders."""

    def load(self, device: torch.device) -> Prior:
        """The prior, ready on `device`. Raises ReconError naming every package and file that is missing."""
        raise NotImplementedError

    def content(self) -> str:
        """Changes when files that the settings name change; part of the key of what the prior had a part in."""
        return ""
