"""Texture look-up for rendered meshes: bilinear, or trilinear in a mip pyramid."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from recon.render.mesh import Fragments, homogeneous_pixels

Filter = Literal["bilinear", "mip"]


def sample_texture(
    texture: Tensor, uv: Tensor, footprint: Tensor | None = None, *, filter: Filter = "bilinear"
) -> Tensor:
    """Texture values at `uv`: [H, W, C], differentiable in the texture and in uv.

    texture: [Ht, Wt, C], row 0 at v = 0; the first texel's centre is at (0.5 / Wt, 0.5 / Ht), outside the edge repeats.
    uv: [H, W, 2].   footprint: [H, W], texels across a pixel (see `texel_footprint`), only for "mip".
    """
    if texture.ndim != 3 or uv.ndim != 3 or uv.shape[2] != 2:
        raise ValueError(f"texture is {tuple(texture.shape)}, uv {tuple(uv.shape)}; expected [Ht, Wt, C] and [H, W, 2]")
    if filter == "bilinear":
        return _bilinear(texture, uv)
    if filter != "mip":
        raise ValueError(f"filter is {filter!r}; expected 'bilinear' or 'mip'")
    if footprint is None or footprint.shape != uv.shape[:2]:
        found = None if footprint is None else tuple(footprint.shape)
        raise ValueError(f"footprint is {found}; mip needs {tuple(uv.shape[:2])}")
    levels = mip_pyramid(texture)
    level = footprint.detach().clamp(min=1).log2().clamp(max=len(levels) - 1)
    out = texture.new_zeros(*uv.shape[:2], texture.shape[2])
    for index, image in enumerate(levels):
        weight = (1 - (level - index).abs()).clamp(min=0)
        if bool((weight > 0).any()):
            out = out + weight[..., None] * _bilinear(image, uv)
    return out


def mip_pyramid(texture: Tensor) -> list[Tensor]:
    """The texture and its halvings by 2 x 2 means, down to one texel along the shorter side."""
    levels = [texture]
    while min(levels[-1].shape[:2]) > 1:
        levels.append(avg_pool2d(levels[-1].permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0))
    return levels


def texel_footprint(
    uv: Tensor, faces: Tensor, fragments: Fragments, vertices: Tensor, world_to_camera: Tensor, K: Tensor, size: Tensor
) -> Tensor:
    """Texels across a pixel, along the direction in which they are most: [H, W], 0 where empty; no gradient.

    uv: [V, 2] or [F, 3, 2].   size: [2], texels along u and v.   The others as for `rasterize_mesh` and `antialias`.
    With b_i = a_i / sum a and a linear in the pixel, d uv / dx = sum_i (d a_i / dx) (uv_i - uv) / sum a.
    """
    with torch.no_grad():
        covered = fragments.mask.nonzero()
        face = fragments.face_ids[covered[:, 0], covered[:, 1]].long()
        index = faces.long()[face]
        q = homogeneous_pixels(vertices, world_to_camera, K).double()[index]
        slopes = torch.linalg.cross(q.roll(-1, 1), q.roll(-2, 1))
        ray = torch.stack([covered[:, 1] + 0.5, covered[:, 0] + 0.5, covered.new_ones(len(covered))], -1).double()
        total = (slopes * ray[:, None]).sum((1, 2))
        corner = (uv[face] if uv.ndim == 3 else uv[index]).double() * size.to(uv.device).double()
        weights = fragments.barycentrics[covered[:, 0], covered[:, 1]].double()
        rest = corner - (weights[..., None] * corner).sum(1, keepdim=True)
        by_pixel = torch.einsum("pia,pic->pac", slopes[..., :2], rest) / total[:, None, None]
        out = torch.zeros_like(fragments.depth)
        out[covered[:, 0], covered[:, 1]] = torch.linalg.matrix_norm(by_pixel, ord=2).to(out.dtype)
        return out


def _bilinear(image: Tensor, uv: Tensor) -> Tensor:
    planes = image.permute(2, 0, 1)[None]
    found = grid_sample(planes, (2 * uv - 1)[None], mode="bilinear", padding_mode="border", align_corners=False)
    return found[0].permute(1, 2, 0)
