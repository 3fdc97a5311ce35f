"""Plain-torch twin of the rasteriser: every formula written out, any dtype, differentiated by autograd.

For tests and for reading. It evaluates every primitive at every pixel, so keep to a few hundred of both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon.geometry import quaternion, spherical_harmonics
from recon.geometry.camera import pixel_grid
from recon.render.library import core
from recon.render.rasterize import RasterConfig, Render


def rasterize_reference(
    params: Mapping[str, Tensor],
    world_to_camera: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    *,
    sh_degree: int | None = None,
    background: Tensor | None = None,
    features: Tensor | None = None,
    config: RasterConfig | None = None,
) -> Render:
    """Render 3D Gaussians as one camera sees them, with every output of `rasterize`.

    Arguments as in `recon.render.rasterize.rasterize`, with world_to_camera [4, 4] and Ks [3, 3]. `radii` are those
    of the projected means, rounded like the core's. Source: Kerbl et al. 2023; Zwicker et al. 2001, eq. 31.
    """
    config = config or RasterConfig()
    means, log_scales = params["means"], params["log_scales"]
    R, t = world_to_camera[:3, :3], world_to_camera[:3, 3]
    center = -R.T @ t
    p = means @ R.T + t
    x, y, z = p.unbind(-1)
    fx, fy, cx, cy = Ks[0, 0], Ks[1, 1], Ks[0, 2], Ks[1, 2]
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)

    # The Jacobian is taken inside a widened frustum: beyond it the linearisation explodes.
    margin_x = core.FRUSTUM_MARGIN * 0.5 * width / fx
    margin_y = core.FRUSTUM_MARGIN * 0.5 * height / fy
    u = torch.minimum(torch.maximum(x / z, -(cx / fx + margin_x)), (width - cx) / fx + margin_x)
    v = torch.minimum(torch.maximum(y / z, -(cy / fy + margin_y)), (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], dim=-1).unflatten(-1, (2, 3))
    rotation, scales = quaternion.to_matrix(params["quats"]), log_scales.exp()
    A = J @ R @ (rotation * scales[:, None, :])
    plain = A @ A.transpose(-1, -2)
    covariance = plain + config.eps2d * torch.eye(2, dtype=means.dtype)
    det = torch.linalg.det(covariance)
    opacity = torch.sigmoid(params["opacity_logits"])
    if config.antialias:
        ratio = torch.linalg.det(plain) / det
        opacity = opacity * ratio.clamp_min(core.MIN_COMPENSATION).sqrt()
    conics = torch.linalg.inv(covariance)

    direction = torch.nn.functional.normalize(means - center, dim=-1)
    colors = (spherical_harmonics.evaluate(params["sh_coeffs"], direction, sh_degree) + 0.5).clamp_min(0)
    axis = torch.gather(rotation, 2, scales.argmin(-1)[:, None, None].expand(-1, 3, 1)).squeeze(-1)
    normals = torch.where(((axis * (means - center)).sum(-1) > 0)[:, None], -axis, axis)

    reach = (2 * torch.log(opacity / core.MIN_ALPHA)).clamp_min(0)
    half = (reach[:, None] * covariance.diagonal(dim1=-2, dim2=-1)).sqrt()
    on_image = ((means2d + half >= 0.5) & (means2d - half <= means2d.new_tensor([width, height]) - 0.5)).all(-1)
    visible = (z > config.near_plane) & (z < config.far_plane) & (reach > 0) & on_image

    order = torch.argsort(z.detach(), stable=True)
    order = order[visible[order]]
    delta = pixel_grid(width, height, means.dtype)[:, :, None] - means2d[order]
    q = 0.5 * torch.einsum("hwni,nij,hwnj->hwn", delta, conics[order], delta)
    alpha = (opacity[order] * torch.exp(-q)).clamp(max=config.alpha_max)
    alpha = torch.where(alpha >= core.MIN_ALPHA, alpha, torch.zeros_like(alpha))
    # A pixel is finished before the first primitive that would leave too little behind it.
    through = torch.cumprod(1 - alpha, dim=-1)
    alpha = torch.where(through > core.MIN_TRANSMITTANCE, alpha, torch.zeros_like(alpha))
    before = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha], dim=-1), dim=-1)
    weights = before[..., :-1] * alpha
    transmittance = before[..., -1]
    color = weights @ colors[order]
    if background is not None:
        color = color + transmittance[..., None] * background
    crossing = (before[..., :-1] > 0.5) & (before[..., 1:] <= 0.5)
    radius = half.amax(-1)
    return Render(
        color=color,
        alpha=1 - transmittance,
        depth=(weights @ z[order]) / (1 - transmittance).clamp_min(1e-6),
        median_depth=(crossing * z[order]).sum(-1),
        normal=weights @ normals[order],
        features=None if features is None else weights @ features[order],
        radii=torch.where(visible, radius.nan_to_num(0, 0, 0).int() + 1, torch.zeros_like(radius, dtype=torch.int32)),
        means2d=means2d.detach(),
    )
