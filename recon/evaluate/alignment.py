"""A mesh laid over a true surface that is known in other coordinates."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from recon.errors import ReconError
from recon.evaluate.surface import Surface
from recon.geometry import rigid
from recon.geometry.open3d import icp
from recon.render.distance import sample_surface

Align = Literal["rigid", "similarity"]
"""Turned and moved, or scaled as well."""
_REACHES = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the diagonal of the true surface's box."""
_SAMPLES = 50_000
_LEAST_OVERLAP = 0.3


def align(mesh: Surface, truth: Surface, how: Align) -> tuple[Surface, dict[str, Any]]:
    """The mesh where ICP lays it, and what metrics.json says of it. It must lie near the truth already.

    Raises ReconError without Open3D, and when less than 30 % of the mesh comes within 1 % of the truth's diagonal.
    """
    points, _ = sample_surface(*mesh, _SAMPLES)
    wanted, _ = sample_surface(*truth, 2 * _SAMPLES, 1)
    diagonal = float((truth[0].amax(0) - truth[0].amin(0)).norm())
    found = icp(points, wanted, [share * diagonal for share in _REACHES], scale=how == "similarity")
    if found.overlap < _LEAST_OVERLAP:
        raise ReconError(
            "the mesh does not come to lie on the true surface",
            found=f"{100 * found.overlap:.0f} % of it within 1 % of the surface's diagonal",
            wanted=f"at least {100 * _LEAST_OVERLAP:.0f} %",
            fix="give the surface in the capture's coordinates, or move it there by hand",
        )
    linear = found.target_from_source[:3, :3]
    scale = float(torch.linalg.det(linear)) ** (1 / 3)
    moved = rigid.transform_points(found.target_from_source, mesh[0].double()).to(mesh[0].dtype)
    return (moved, mesh[1]), {
        "how": how,
        "scale": scale,
        "turned_deg": math.degrees(rigid.rotation_angle(linear / scale)),
        "moved": float((moved - mesh[0]).double().norm(dim=1).mean()),
        "overlap": found.overlap,
        "residual": found.residual,
    }
