"""What other photos say about a view, by the scene's depth: photos warped into it, and where they show it at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import pixel_grid, project, unproject
from recon.scene.nodes import View

_NEAR = 1e-6
_COLOR_SIGMA = 0.1  # difference of colours, in [0, 1], at which a photo stops speaking for a pixel
_AGREEMENT_SIGMA = 0.2
_TRUST = 0.7  # what one photo that shows a pixel and agrees is worth; two make 0.91


@dataclass(frozen=True)
class Seen:
    """A picture with its camera and the scene's depth there."""

    image: Tensor
    """[H, W, 3] float32 in [0, 1]."""
    depth: Tensor
    """[H, W] along z, scene units; 0 where nothing is."""
    camera: View


def warp(source: Seen, camera: View, depth: Tensor, tolerance: float = 0.03) -> tuple[Tensor, Tensor]:
    """`source` as `camera` [H, W] with `depth` [H, W] sees it: colours [H, W, 3], and which are valid [H, W] bool.

    A pixel is valid where its point lies before the source's camera, inside of its picture, and no farther than the
    share `tolerance` of its depth from what the source sees there. Colours are 0 elsewhere. Bilinear.
    """
    width, height = camera.camera.width, camera.camera.height
    grid = pixel_grid(width, height).to(depth.device)
    K, pose = camera.camera.K.to(depth), camera.world_to_camera.to(depth)
    world = rigid.transform_points(rigid.inverse(pose), unproject(grid.reshape(-1, 2), depth.reshape(-1), K))
    local = rigid.transform_points(source.camera.world_to_camera.to(depth), world)
    z = local[:, 2].reshape(height, width)
    pixels = project(torch.cat([local[:, :2], local[:, 2:].clamp_min(_NEAR)], -1), source.camera.camera.K.to(depth))
    size = pixels.new_tensor([source.image.shape[1], source.image.shape[0]])
    at = (2 * pixels / size - 1).reshape(1, height, width, 2)
    planes = torch.cat([source.image.permute(2, 0, 1), source.depth[None]])[None]
    picked = torch.nn.functional.grid_sample(planes, at, padding_mode="border", align_corners=False)[0]
    inside = (at[0].abs() <= 1).all(-1) & (depth > 0) & (z > _NEAR)
    valid = inside & ((picked[3] - z).abs() <= tolerance * z)
    return picked[:3].permute(1, 2, 0) * valid[..., None], valid


def confidence(render: Tensor, alpha: Tensor, warped: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """[H, W] in [0, 1]: how far the scene is sure of a render [H, W, 3] with opacity `alpha` [H, W].

    warped: what `warp` makes of every training photo. The product of opacity and of 1 - prod(1 - 0.7 a), where a is 0
    for a photo that does not show the pixel (coverage), else exp(-(d / 0.1)^2) of its difference d (agreement).
    """
    unsure = torch.ones_like(alpha)
    for image, valid in warped:
        difference = (image - render).abs().mean(-1)
        unsure = unsure * (1 - _TRUST * valid * torch.exp(-((difference / _COLOR_SIGMA) ** 2)))
    return alpha * (1 - unsure)


def agreement(pictures: Sequence[Seen], unseen: float) -> list[Tensor]:
    """For each picture [H, W] in [0, 1]: how well the others agree with it where they show the same by the depths.

    The mean of exp(-(d / 0.2)^2) over those that show a pixel; `unseen` where none does. Wider than in `confidence`:
    depths are those of a scene that is being repaired, and where they are wrong the truth does not agree either.
    """
    result = []
    for i, one in enumerate(pictures):
        total, count = torch.zeros_like(one.depth), torch.zeros_like(one.depth)
        for j, other in enumerate(pictures):
            if i == j:
                continue
            image, valid = warp(other, one.camera, one.depth)
            difference = (image - one.image).abs().mean(-1)
            total = total + valid * torch.exp(-((difference / _AGREEMENT_SIGMA) ** 2))
            count = count + valid
        result.append(torch.where(count > 0, total / count.clamp_min(1), torch.full_like(total, unseen)))
    return result
