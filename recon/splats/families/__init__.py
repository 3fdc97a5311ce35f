"""Kinds of primitives that can be optimised. A new one is a file here and a line in `FAMILIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.splats.families.convex import ConvexFamily
from recon.splats.families.exponential import ExponentialFamily
from recon.splats.families.family import Family, Seeds
from recon.splats.families.gaussian import GaussianFamily
from recon.splats.families.surfel import SurfelFamily
from recon.splats.families.triangle import TriangleFamily

if TYPE_CHECKING:
    from recon.splats.config import SplatsConfig

FAMILIES = {
    "gaussian": GaussianFamily,
    "exponential": ExponentialFamily,
    "surfel": SurfelFamily,
    "triangle": TriangleFamily,
    "convex": ConvexFamily,
}


def make_family(config: SplatsConfig) -> Family:
    """The family that `config.primitive` names, set up by the section of that name."""
    return FAMILIES[config.primitive](getattr(config, config.primitive))  # type: ignore[abstract]


__all__ = ["FAMILIES", "Family", "Seeds", "make_family"]
