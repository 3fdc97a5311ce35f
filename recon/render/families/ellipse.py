"""Ellipsoids seen by a camera, in plain torch: shared by Gaussians and exponentials.

Source: Kerbl et al. 2023; Zwicker et al. 2001, eq. 31; Yu et al. 2024 (Mip-Splatting) for the compensation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.geometry import quaternion
from recon.render.families.appearance import Appearance, PinholeView
from recon.render.library import core


def ellipse_appearance(params: Mapping[str, Tensor], view: PinholeView, falloff: Tensor | None) -> Appearance:
    """alpha = opacity exp(-0.5 m^(falloff / 2)) with m = d^T S^-1 d; falloff [N], 2 (Gaussians) when None."""
    means, scales = params["means"], params["log_scales"].exp()
    R = view.world_to_camera[:3, :3]
    x, y, z = view.to_camera(means).unbind(-1)
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)

    # The Jacobian is taken inside a widened frustum: beyond it the linearisation explodes.
    margin_x = core.FRUSTUM_MARGIN * 0.5 * view.width / fx
    margin_y = core.FRUSTUM_MARGIN * 0.5 * view.height / fy
    u = torch.minimum(torch.maximum(x / z, -(cx / fx + margin_x)), (view.width - cx) / fx + margin_x)
    v = torch.minimum(torch.maximum(y / z, -(cy / fy + margin_y)), (view.height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], dim=-1).unflatten(-1, (2, 3))
    rotation = quaternion.to_matrix(params["quats"])
    A = J @ R @ (rotation * scales[:, None, :])
    plain = A @ A.transpose(-1, -2)
    covariance = plain + view.eps2d * torch.eye(2, dtype=means.dtype)
    opacity = torch.sigmoid(params["opacity_logits"])
    if view.antialias:
        ratio = torch.linalg.det(plain) / torch.linalg.det(covariance)
        opacity = opacity * ratio.clamp_min(core.MIN_COMPENSATION).sqrt()

    d = view.offsets(means2d)
    m = torch.einsum("hwni,nij,hwnj->hwn", d, torch.linalg.inv(covariance), d)
    if falloff is not None:
        m = m.clamp_min(1e-12) ** (falloff / 2)
    axis = torch.gather(rotation, 2, scales.argmin(-1)[:, None, None].expand(-1, 3, 1)).squeeze(-1)
    return Appearance(
        centers=means,
        means2d=means2d,
        depths=z,
        alphas=opacity * torch.exp(-0.5 * m),
        normals=view.facing(axis, means),
        visible=(z > view.near_plane) & (z < view.far_plane),
    )
