"""Where to look: cameras on paths through and around the training ones, those first where the scene is least sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.priors.surroundings import Surroundings
from recon.scene.camera_path import between, orbit
from recon.scene.nodes import View

_FRAMES = 3  # candidates for every view that is wanted
_RANKING_SIDE = 96  # px, longer side of the renders that candidates are ranked by


@dataclass(frozen=True)
class Place:
    """A camera to look from."""

    camera: View
    distance: float
    """In [0, 1]: to the nearest training camera, 1 from a little over half of what the farthest candidate has."""


def candidates(views: Sequence[View], count: int, phase: float) -> list[View]:
    """About `count` cameras: half on a closed path around what `views` look at, half on a spline through them in an
    order in which neighbours are near. `phase` in [0, 1) shifts them along. One view gives none."""
    if len(views) < 2:
        return []
    half = max(2, count // 2)
    around = orbit(views, 4 * half)[int(4 * phase) :: 4]
    through = between(_chain(views), 4 * half + 1)[int(4 * phase) :: 4]
    return [replace(view, name=f"novel {i}") for i, view in enumerate([*around, *through])]


def choose(
    views: Sequence[View], surroundings: Surroundings, count: int, size: Callable[[View, int], View], phase: float,
    min_known: float, contiguous: bool,
) -> list[Place]:  # fmt: skip
    """Up to `count` places, in the order of their path.

    size: takes a view to one of a longer side, px.   contiguous: neighbours on the path, for priors that repair clips.
    """
    found, unsure = [], []
    for view in candidates(views, _FRAMES * count, phase):
        request = surroundings.request(size(view, _RANKING_SIDE))
        if float((request.confidence > 0.5).float().mean()) >= min_known:
            found.append(view)
            unsure.append(1 - float(request.confidence.mean()))
    if not found:
        return []
    centers = torch.stack([view.center for view in views])
    distances = torch.stack([(centers - view.center).norm(dim=-1).min() for view in found])
    # As in GaussianObject (Yang et al. 2024): next to a photo a repaired view has nothing to say.
    share = (2 * distances / (1.2 * distances.max().clamp_min(1e-12))).clamp(max=1)
    scores = torch.tensor(unsure) * share
    chosen = _window(scores, count) if contiguous else _spread(scores, torch.stack([v.center for v in found]), count)
    return [Place(found[i], float(share[i])) for i in chosen]


def _chain(views: Sequence[View]) -> list[View]:
    """The views from the one farthest out, each followed by the nearest that is left."""
    centers = torch.stack([view.center for view in views])
    left = list(range(len(views)))
    chain = [left.pop(int((centers - centers.mean(0)).norm(dim=-1).argmax()))]
    while left:
        chain.append(left.pop(int((centers[left] - centers[chain[-1]]).norm(dim=-1).argmin())))
    return [views[i] for i in chain]


def _window(scores: Tensor, count: int) -> list[int]:
    """The neighbouring entries with the largest sum."""
    count = min(count, len(scores))
    first = int(scores.unfold(0, count, 1).sum(-1).argmax())
    return list(range(first, first + count))


def _spread(scores: Tensor, centers: Tensor, count: int) -> list[int]:
    """Large scores far from each other: each next one is the largest product of score and distance to those taken."""
    chosen = [int(scores.argmax())]
    while len(chosen) < min(count, len(scores)):
        apart = torch.cdist(centers, centers[chosen]).amin(-1)
        value = scores * apart
        value[chosen] = -1
        chosen.append(int(value.argmax()))
    return sorted(chosen)
