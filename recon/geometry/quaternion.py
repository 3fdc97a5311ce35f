"""Unit quaternions in (w, x, y, z) order; every function broadcasts over leading axes."""

from __future__ import annotations

import torch
from torch import Tensor


def normalize(quats: Tensor) -> Tensor:
    """Scale [..., 4] quaternions to unit length; a zero quaternion stays zero rather than turning into NaN."""
    return quats / quats.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(quats.dtype).tiny)


def to_matrix(quats: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of quaternions [..., 4] wxyz, which need not be normalised."""
    w, x, y, z = normalize(quats).unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))  # fmt: skip


def from_matrix(rotations: Tensor) -> Tensor:
    """Quaternions [..., 4] wxyz with w >= 0 of rotation matrices [..., 3, 3].

    Takes the best conditioned of the four closed forms (Shepperd 1978), so it is accurate at every angle.
    """
    m = rotations
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Row k is the quaternion scaled by 4 q_k; the row with the largest q_k loses no precision.
    rows = torch.stack(
        [
            1 + m00 + m11 + m22, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1],
            m[..., 2, 1] - m[..., 1, 2], 1 + m00 - m11 - m22, m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0],
            m[..., 0, 2] - m[..., 2, 0], m[..., 0, 1] + m[..., 1, 0], 1 - m00 + m11 - m22, m[..., 1, 2] + m[..., 2, 1],
            m[..., 1, 0] - m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1], 1 - m00 - m11 + m22,
        ],
        dim=-1,
    ).unflatten(-1, (4, 4))  # fmt: skip
    best = rows.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    quats = torch.gather(rows, -2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quats = normalize(quats)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product a * b of [..., 4] wxyz: the rotation b followed by a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )
