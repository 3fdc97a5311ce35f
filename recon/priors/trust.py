"""How far a repaired view is believed: where it may change something, and whether it left alone what is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recon.priors.protocol import ClipPrior, Prior, Repaired, RepairPrior, RepairRequest

_CHANGE = 0.03
_SIGMA = 0.1  # difference of colours, in [0, 1], that takes most of the belief
_RESPECT_SIGMA = 0.15
_WORSE_SIGMA = 0.02


def repaired_views(priors: Sequence[Prior], requests: Sequence[RepairRequest]) -> list[Repaired]:
    """What all repairing priors together make of `requests`, which lie on a path.

    Of several priors the mean, weighted by their confidence; where they disagree, it counts less.
    """
    answers: list[list[Repaired]] = []
    for prior in priors:
        if isinstance(prior, ClipPrior):
            answers.append(prior.repair_clip(requests))
        elif isinstance(prior, RepairPrior):
            answers.append([prior.repair(request) for request in requests])
    return [merged([one[i] for one in answers]) for i in range(len(requests))]


def merged(answers: Sequence[Repaired]) -> Repaired:
    """Several repairs of one view as one."""
    if len(answers) == 1:
        return answers[0]
    images = torch.stack([one.image for one in answers])
    weights = torch.stack([one.confidence for one in answers])
    image = (images * weights[..., None]).sum(0) / weights.sum(0).clamp_min(1e-6)[..., None]
    spread = (images - image).abs().mean(-1).amax(0)
    return Repaired(image, weights.mean(0) * torch.exp(-((spread / _SIGMA) ** 2)))


def respect(request: RepairRequest, repaired: Repaired) -> float:
    """In [0, 1], by what can be checked: pixels of which the scene is sure by more than a half; 1 where there are none.

    exp(-(d / 0.15)^2) of the mean difference d to the render, times exp(-s (e / 0.02)^2) of how much further than the
    render the repaired picture is from the photos that are warped into the view, with s the share of such pixels: where
    they are few, the scene's depths are wrong, render and photos agree there by chance, and the truth is further. A
    prior that changes what the photos confirm does not know this scene, and one that shows it worse than the splats do
    (blurred, or in other colours) is not asked about the rest.
    """
    known = (request.confidence - 0.5).clamp_min(0)
    d = _mean((repaired.image - request.render).abs().mean(-1), known)
    worse = [
        _mean((repaired.image - one.warped).abs().mean(-1) - (request.render - one.warped).abs().mean(-1), shown)
        for one, shown in ((one, known * one.valid) for one in request.references)
    ]
    e = max(0.0, sum(worse) / len(worse)) if worse else 0.0
    share = float((known > 0).float().mean())
    return math.exp(-((d / _RESPECT_SIGMA) ** 2) - share * (e / _WORSE_SIGMA) ** 2)


def _mean(values: Tensor, weight: Tensor) -> float:
    """Weighted mean; 0 of no weight."""
    return float((values * weight).sum() / weight.sum().clamp_min(1e-6))


def say(request: RepairRequest, repaired: Repaired) -> Tensor:
    """[H, W] in [0, 1]: how much to learn of the repaired pixel: as far as the scene is unsure, or the prior can tell
    that it should be taken, and the prior is sure.

    Unsure squared: a pixel that one photo confirms is left alone nearly as much as one that two do.
    """
    wanted = (1 - request.confidence).square() if repaired.share is None else repaired.share.clamp(0, 1)
    return wanted * repaired.confidence.clamp(0, 1) * respect(request, repaired)


def change(request: RepairRequest, repaired: Repaired) -> Tensor:
    """[H, W] in [0, 1]: how far the prior changed the render around a pixel: 1 - exp(-(d / 0.03)^2) of the mean
    difference d within 2 px.

    Where it changed nothing there is nothing to learn, and a render of an earlier iteration would only hold the splats
    back: an identity took 0.3 to 0.7 dB from a scene that was still being learnt.
    """
    difference = (repaired.image - request.render).abs().mean(-1)[None]
    around = torch.nn.functional.avg_pool2d(difference, 5, stride=1, padding=2, count_include_pad=False)[0]
    return 1 - torch.exp(-((around / _CHANGE) ** 2))


def blended(request: RepairRequest, repaired: Repaired) -> Tensor:
    """[H, W, 3]: the render where the scene is sure, the repaired picture where it is not and the prior is; or as the
    prior shares them out, if it can."""
    if repaired.share is None:
        share = say(request, repaired)
    else:
        share = repaired.share.clamp(0, 1) * respect(request, repaired)
    return request.render + share[..., None] * (repaired.image - request.render)
