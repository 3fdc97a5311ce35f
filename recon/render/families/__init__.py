"""Primitive families that the rasteriser draws.

A family is one file with a function of the signature of `gaussian.render` that calls its `torch.library` operator, and
one line here. The footprint maths is a header in cuda/include/recon.
"""

from recon.render.families import gaussian

FAMILIES = {"gaussian": gaussian.render}
