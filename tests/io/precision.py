"""What the formats of splats promise, and the comparison that holds them to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree

from recon.geometry import quaternion, spherical_harmonics
from recon.scene import Splats


@dataclass(frozen=True)
class Precision:
    """What a format promises. Positions in scene units, rotations in degrees, opacities and colours in [0, 1]."""

    position: float
    rotation: float
    log_scale: float
    opacity: float
    color: float
    sh_degree: int = 3

    def __add__(self, other: Precision) -> Precision:
        """Of a conversion from one format to another."""
        return Precision(
            self.position + other.position, self.rotation + other.rotation, self.log_scale + other.log_scale,
            self.opacity + other.opacity, self.color + other.color, min(self.sh_degree, other.sh_degree),
        )  # fmt: skip


HALF_STEP = 0.5 / 255 + 1e-6
# Positions: the fixture spans about 12 units. Rotations: a step of 1/512, 1/1023 or 1/255 in each of three components.
# Logarithms of scales: 1/16 steps, 11 bits between bounds, or a codebook. Colours: errors of 8-bit harmonics add up.
EXACT = Precision(0, 2e-5, 0, 1e-6, 1e-6)
PRECISION = {
    "ply": EXACT,
    "glb": Precision(0, 2e-5, 1e-6, 1e-6, 1e-6),
    "usd": Precision(0, 2e-5, 1e-6, 1e-6, 1e-6),
    "splat": Precision(0, 2.0, 1e-6, HALF_STEP, HALF_STEP, 0),
    "compressed-ply": Precision(0.004, 0.3, 0.001, HALF_STEP, 0.05),
    "spz": Precision(1e-5, 0.3, 1 / 32 + 1e-6, HALF_STEP, 0.02),
    "spz4": Precision(1e-5, 0.3, 1 / 32 + 1e-6, HALF_STEP, 0.02),
    "sog": Precision(4e-4, 1.2, 0.03, HALF_STEP, 0.03),
}


def assert_same(found: Splats, wanted: Splats, precision: Precision) -> None:
    """Splats may come in another order: each is compared with the nearest."""
    assert len(found) == len(wanted) and found.sh_degree == precision.sh_degree
    distance, which = cKDTree(found["means"].numpy()).query(wanted["means"].numpy())
    assert len(set(which)) == len(wanted), "two splats became one"
    assert distance.max() <= precision.position
    rows = torch.from_numpy(which)
    a, b = (quaternion.normalize(one.double()) for one in (found["quats"][rows], wanted["quats"]))
    half = 2 * torch.asin(((a - b).norm(dim=1).minimum((a + b).norm(dim=1)) / 2).clamp(max=1))  # between quaternions
    assert 2 * torch.rad2deg(half.max()) <= precision.rotation
    assert (found["log_scales"][rows] - wanted["log_scales"]).abs().max() <= precision.log_scale
    opacities = (found["opacity_logits"][rows].sigmoid() - wanted["opacity_logits"].sigmoid()).abs()
    assert opacities.max() <= precision.opacity
    directions = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    for direction in directions:
        seen = [
            (spherical_harmonics.evaluate(one, direction, precision.sh_degree) + 0.5).clamp(0, 1)
            for one in (found["sh_coeffs"][rows], wanted["sh_coeffs"])
        ]
        assert (seen[0] - seen[1]).abs().max() <= precision.color
