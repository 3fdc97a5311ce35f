"""How the parameters of each primitive family are stored. A family is one file here and one line below."""

from recon.scene.families import convex, exponential, gaussian, surfel, triangle
from recon.scene.families.codec import FamilyCodec

FAMILIES: dict[str, FamilyCodec] = {
    "gaussian": gaussian.CODEC,
    "exponential": exponential.CODEC,
    "surfel": surfel.CODEC,
    "triangle": triangle.CODEC,
    "convex": convex.CODEC,
}
"""Codecs by the name in `Splats.family`."""
