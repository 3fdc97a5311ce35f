"""Kinds of primitives that can be optimised. A new one is a file here and a line in `FAMILIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.splats.families.family import Family, Seeds
from recon.splats.families.gaussian import GaussianFamily

if TYPE_CHECKING:
    from recon.splats.config import SplatsConfig

FAMILIES = {
    "gaussian": GaussianFamily,
}


def make_family(config: SplatsConfig) -> Family:
    """The family that `config.primitive` names, set up by the section of that name."""
    return FAMILIES[config.primitive](getattr(config, config.primitive))


__all__ = ["FAMILIES", "Family", "Seeds", "make_family"]
