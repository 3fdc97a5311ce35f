"""Primitive families that the rasteriser draws. A new one is a file here and a line below.

The footprint maths is a header of the same name in cuda/include/recon/families.
"""

from recon.render.families.convex import CONVEX
from recon.render.families.exponential import EXPONENTIAL
from recon.render.families.family import RenderFamily
from recon.render.families.gaussian import GAUSSIAN
from recon.render.families.surfel import SURFEL
from recon.render.families.triangle import TRIANGLE

FAMILIES: dict[str, RenderFamily] = {
    family.name: family for family in (GAUSSIAN, EXPONENTIAL, SURFEL, TRIANGLE, CONVEX)
}
"""Families by name."""

__all__ = ["FAMILIES", "RenderFamily"]
