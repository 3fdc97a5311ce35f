"""Depths of a network brought to the scene's scale by a few points that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors import Depth
from recon.scene.nodes import View

_TRIALS, _ROUNDS = 300, 10
_CELL = 8  # px: of the points in a cell the nearest is seen, what lies far behind it is not


@config
class AlignConfig:
    """One scale and one shift a photo, in the network's own domain."""

    min_points: Annotated[int, Field(ge=3)] = 20
    """Known points that a photo must show."""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """A point agrees when its depth is met within this share."""
    min_agreeing: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Share of a photo's points that must agree, else its depths are not used."""


@dataclass(frozen=True)
class Aligned:
    """Depths of one photo in scene units."""

    depth: Tensor
    """[H, W] along z, float64; 0 where there is none, such as at infinity."""
    agreeing: float
    """Share of the known points that the depths meet."""


def align(found: Depth, view: View, points: Tensor, config: AlignConfig, seed: int) -> Aligned | None:
    """`found` in scene units, None where too few `points` [N, 3] say enough.

    u a + b = v, with u the network's numbers and v the points' depths, or both inverse. Pairs of points propose a and b
    (the most agreeing points win, a > 0), then least squares with Cauchy weights. Points that the photo does not show,
    and a network that is wrong in places, are outliers.
    """
    pixels, depths, inside = view.project(points)
    column, row = (pixels[inside] / _CELL).long().unbind(-1)
    cell = row * (view.camera.width // _CELL + 1) + column
    nearest = torch.full((int(cell.max()) + 1 if len(cell) else 0,), torch.inf, dtype=torch.float64)
    nearest.scatter_reduce_(0, cell, depths[inside], "amin")
    seen = depths[inside] <= 1.1 * nearest[cell]
    if int(seen.sum()) < config.min_points:
        return None
    x, y = pixels[inside][seen].long().unbind(-1)
    z, u = depths[inside][seen], found.values.double().cpu()[y, x]
    inverse = found.kind == "inverse"
    v = 1 / z if inverse else z

    def error(line: Tensor) -> Tensor:
        """[..., N], how far depths are off, as shares of them."""
        said = line[..., :1] * u + line[..., 1:]
        return ((said - v) / v).abs()

    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(len(u), (_TRIALS, 2), generator=generator)
    step = u[pairs[:, 1]] - u[pairs[:, 0]]
    slope = (v[pairs[:, 1]] - v[pairs[:, 0]]) / torch.where(step == 0, torch.ones_like(step), step)
    lines = torch.stack([slope, v[pairs[:, 0]] - slope * u[pairs[:, 0]]], -1)[(step != 0) & (slope > 0)]
    if len(lines) == 0:
        return None
    best = lines[(error(lines) <= config.tolerance).sum(-1).argmax()]
    for _ in range(_ROUNDS):
        weight = 1 / (v * (1 + (error(best) / config.tolerance).square()).sqrt())
        design = torch.stack([u, torch.ones_like(u)], -1) * weight[:, None]
        best = torch.linalg.lstsq(design, (v * weight)[:, None]).solution[:, 0]
    agreeing = float((error(best) <= config.tolerance).double().mean())
    if agreeing < config.min_agreeing or float(best[0]) <= 0:
        return None
    said = best[0] * found.values.double().cpu() + best[1]
    positive = said > 1e-9 * float(said.abs().max())
    depth = torch.where(positive, 1 / said.clamp_min(1e-30) if inverse else said, torch.zeros_like(said))
    # Beyond what points say anything about, depths of a line are guesses.
    return Aligned(torch.where(depth <= 2 * z.max(), depth, torch.zeros_like(depth)), agreeing)
