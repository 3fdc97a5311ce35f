"""Which photos to compare a photo with, and how far away what they show can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recon.scene.nodes import View

_BEST_ANGLE, _TOO_NARROW, _TOO_WIDE = 10.0, 5.0, 20.0  # degrees between two rays to a point, and how fast it gets worse
_FEW = 20  # points that a photo must show before they say anything about depths
_ASSUMED_POINTS = 4096


def scene_points(views: Sequence[View], points: Tensor | None) -> Tensor:
    """Points that stand for what the photos show, [N, 3]: those that are known, else some all over their common view.

    Without points the scene is taken to lie between one and a hundred times the distance to the next camera.
    """
    if points is not None and min(int(view.project(points)[2].sum()) for view in views) >= _FEW:
        return points.double()
    generator = torch.Generator().manual_seed(0)
    found = []
    centers = torch.stack([view.center for view in views])
    for view, center in zip(views, centers, strict=True):
        others = (centers - center).norm(dim=-1)
        nearest = float(others[others > 0].min()) if bool((others > 0).any()) else 1.0
        count = _ASSUMED_POINTS // len(views)
        depths = nearest * 100 ** torch.rand(count, generator=generator, dtype=torch.float64)
        size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float64)
        pixels = torch.rand(count, 2, generator=generator, dtype=torch.float64) * size
        found.append(view.unproject(pixels, depths))
    together = torch.cat(found)
    shared = torch.stack([view.project(together)[2] for view in views]).sum(0) >= 2
    return together[shared] if int(shared.sum()) >= _FEW else together


def depth_range(points: Tensor, view: View) -> tuple[float, float]:
    """Nearest and farthest depth to look for in `view`, scene units, with room on both sides."""
    _, depths, seen = view.project(points)
    inside = depths[seen] if int(seen.sum()) >= _FEW else depths[depths > 0]
    if len(inside) == 0:
        return 0.1, 100.0
    low, high = torch.quantile(inside, torch.tensor([0.01, 0.99], dtype=inside.dtype)).tolist()
    return 0.7 * low, 1.6 * high


def choose_sources(views: Sequence[View], points: Tensor, count: int) -> list[list[int]]:
    """For every view the indices of up to `count` others, the best first.

    What counts is how many points two views share, weighted by the angle between their rays: too small an angle tells
    little of depth, too large a one changes the look (Yao et al. 2018, eq. 2, with wider limits for few photos).
    """
    centers = [view.center for view in views]
    seen = [view.project(points)[2] for view in views]
    chosen = []
    for i in range(len(views)):
        scores = []
        for j in range(len(views)):
            both = seen[i] & seen[j]
            if i == j or not bool(both.any()):
                continue
            a = torch.nn.functional.normalize(points[both] - centers[i], dim=-1)
            b = torch.nn.functional.normalize(points[both] - centers[j], dim=-1)
            angles = torch.rad2deg(torch.acos((a * b).sum(-1).clamp(-1, 1)))
            spread = torch.where(angles < _BEST_ANGLE, _TOO_NARROW, _TOO_WIDE)
            score = float(torch.exp(-0.5 * ((angles - _BEST_ANGLE) / spread).square()).sum())
            if score > 0 and math.isfinite(score):
                scores.append((-score, j))
        chosen.append([j for _, j in sorted(scores)[:count]])
    return chosen
