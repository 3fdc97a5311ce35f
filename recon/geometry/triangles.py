"""Which way triangles face, and how large they are."""

from __future__ import annotations

import torch
from torch import Tensor


def crosses(corners: Tensor) -> Tensor:
    """[..., 3] along the normals of triangles [..., 3, 3] that are wound to the left, twice their areas long."""
    return torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])


def normals(corners: Tensor) -> Tensor:
    """[..., 3] unit normals of triangles [..., 3, 3]; 0 where they have no area."""
    return torch.nn.functional.normalize(crosses(corners), dim=-1)
