"""Depth and normals that networks see in the photos: the splats should have the same shape, whatever its scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from recon.geometry.camera import pixel_grid, unproject
from recon.priors import Depth, DepthPrior, NormalPrior, Prior
from recon.priors.pixels import resized
from recon.splats.guidance.config import GuidanceConfig
from recon.splats.photos import TrainingPhoto
from recon.splats.regularizers.regularizer import Drawn, Regularizer
from recon.splats.state import TrainState

_BOX = 128  # px, side of the boxes that correlations are taken in as well (Yu et al. 2024, LM-Gaussian)
_OPAQUE = 0.5  # depth counts where at least so much of the light is stopped


def monocular_regularizers(
    priors: Sequence[Prior], photos: Sequence[TrainingPhoto], config: GuidanceConfig
) -> list[Regularizer]:
    """One for every depth or normal prior; each photo (of full size) is shown to it once, here."""
    found: list[Regularizer] = []
    for prior in priors:
        if isinstance(prior, DepthPrior) and config.depth_weight > 0:
            depths = {photo.name: prior.depth(photo.target(torch.zeros(3).to(photo.rgb))) for photo in photos}
            found.append(MonocularDepth(depths, config.depth_weight))
        if isinstance(prior, NormalPrior) and config.normal_weight > 0:
            normals = {photo.name: prior.normal(photo.target(torch.zeros(3).to(photo.rgb))) for photo in photos}
            found.append(MonocularNormals(normals, config.normal_weight))
    return found


class MonocularDepth(Regularizer):
    """Adds weight x (1 - Pearson's correlation) of the splats' depth with the network's, over the photo and in boxes.

    In the network's own domain: of inverse depths where it gives these. Correlation asks for no scale and no shift,
    neither of which a network knows.
    """

    def __init__(self, depths: Mapping[str, Depth], weight: float) -> None:
        self.depths, self.weight = depths, weight

    def wants_depth(self, progress: float) -> bool:
        return True

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        z, photo = drawn.render.depth, drawn.photo
        assert z is not None
        wanted = self.depths[photo.name]
        values = resized(wanted.values[..., None], photo.width, photo.height)[..., 0]
        own = 1 / z.clamp_min(1e-3 * state.extent) if wanted.kind == "inverse" else z
        counts = (drawn.render.alpha.detach() > _OPAQUE).float()
        if photo.weight is not None:
            counts = counts * photo.weight
        planes = torch.stack([own, values, counts])
        boxes = [planes[:, y : y + _BOX, x : x + _BOX] for y in range(0, photo.height, _BOX)
                 for x in range(0, photo.width, _BOX)]  # fmt: skip
        parts = [1 - correlation(*box) for box in (planes, *boxes)]
        return self.weight * (parts[0] + torch.stack(parts[1:]).mean()) / 2


class MonocularNormals(Regularizer):
    """Adds weight x (1 - cosine) between the normals of the splats' depth and the network's."""

    def __init__(self, normals: Mapping[str, Tensor], weight: float) -> None:
        self.normals, self.weight = normals, weight

    def wants_depth(self, progress: float) -> bool:
        return True

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        z, photo = drawn.render.depth, drawn.photo
        assert z is not None
        wanted = torch.nn.functional.normalize(resized(self.normals[photo.name], photo.width, photo.height), dim=-1)
        own = depth_normals(z, photo.K)
        counts = (drawn.render.alpha.detach() > _OPAQUE)[1:, 1:].float()
        if photo.weight is not None:
            counts = counts * photo.weight[1:, 1:]
        cosine = (own * wanted[1:, 1:]).sum(-1)
        return self.weight * ((1 - cosine) * counts).sum() / counts.sum().clamp_min(1)


def correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Pearson's correlation of [H, W] and [H, W] with weights [H, W]; 0 where one of them does not vary."""
    total = weight.sum().clamp_min(1e-6)
    a, b = (one - (one * weight).sum() / total for one in (a, b))
    spread = ((a.square() * weight).sum() * (b.square() * weight).sum()).clamp_min(1e-20).sqrt()
    return (a * b * weight).sum() / spread


def depth_normals(depth: Tensor, K: Tensor) -> Tensor:
    """[H-1, W-1, 3] unit normals of a depth map [H, W] in camera axes, towards the camera, by backward differences."""
    height, width = depth.shape
    points = unproject(pixel_grid(width, height).to(depth), depth, K)
    right, down = points[1:, 1:] - points[1:, :-1], points[1:, 1:] - points[:-1, 1:]
    return torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
