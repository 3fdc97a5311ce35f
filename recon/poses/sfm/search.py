"""Many attempts at a model, and the choice among them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.evidence import Evidence, count_agreeing, weigh
from recon.poses.sfm.mapping import Attempt, Model, Pair, run_attempt
from recon.poses.sfm.photos import PhotoFeatures

_SEPARATE_GAIN = 1.15  # own focal lengths must explain this many times the matches that a shared one does
_SEPARATE_REST, _SEPARATE_SHARE = 0.5, 0.05  # or leave half as many unexplained, and this share of all fewer
_FIRST_PAIRS = 4


@dataclass(frozen=True)
class Found:
    """An attempt's model and what speaks for it."""

    attempt: Attempt
    model: Model
    evidence: Evidence


def search(
    photos: PhotoFeatures,
    matches: Mapping[Pair, Tensor],
    config: SfmConfig,
    seed: int,
    progress: Callable[[int, int], None],
    better: Callable[[Model], None] = lambda model: None,
) -> list[Found]:
    """What attempts came to, the best first. Empty when none found a model.

    Attempts differ in focal length, seed and the photos to begin with; matches are shared. They cost tenths of a
    second, and what several of them agree on is right far more often than what one of them finds.
    better: is told each model that more speaks for than for those before it.
    """
    found: list[Found] = []
    fewer = {pair: most_alike(photos, pair, pairs, config.attempt_matches) for pair, pairs in matches.items()}

    def run(attempt: Attempt) -> None:
        model = run_attempt(photos, fewer, attempt)
        if model is not None and len(model.poses) >= 2:
            found.append(Found(attempt, model, weigh(model, matches, config)))
            if found[-1].evidence.score >= max(one.evidence.score for one in found):
                better(model)

    for done, attempt in enumerate(_attempts(photos, matches, config, seed)):
        progress(done, config.attempts)
        run(attempt)
        if _settled(found, len(photos.names), config):
            break
    for attempt in _second_opinions(matches, config, seed):
        if not _alone(found, config):
            break
        run(attempt)
    progress(config.attempts, config.attempts)
    models = [one.model for one in found]
    found = [
        replace(one, evidence=replace(one.evidence, agreeing=count_agreeing(models, index)))
        for index, one in enumerate(found)
    ]
    return sorted(found, key=lambda one: _rank(one, found, config), reverse=True)


def most_alike(photos: PhotoFeatures, pair: Pair, matches: Tensor, count: int) -> Tensor:
    """Up to `count` of `matches` [M, 2], those whose descriptors are most alike."""
    if len(matches) <= count:
        return matches
    a, b = (photos.features[photo].descriptors[matches[:, side]] for side, photo in enumerate(pair))
    return matches[(a * b).sum(1).topk(count).indices.sort().values]


def doubts(evidence: Evidence, config: SfmConfig) -> list[str]:
    """Why a model with this evidence is not to be believed; empty when it is."""
    reasons = []
    if evidence.agreeing < config.min_agreeing:
        reasons.append("no two attempts agree on the cameras")
    if evidence.support < config.min_support:
        reasons.append(f"only {evidence.support} matches fit it (at least {config.min_support} wanted)")
    if evidence.angle_deg < config.min_angle_deg:
        reasons.append(
            f"the photos were taken from nearly one place: rays to a point differ by {evidence.angle_deg:.1f} degrees"
        )
    elif evidence.parallax_px < config.min_parallax_px:
        reasons.append(
            f"the camera turned rather than moved: {evidence.parallax_px:.1f} px of parallax, at least"
            f" {config.min_parallax_px:g} wanted"
        )
    if evidence.plausible < 0.02:
        reasons.append(f"its focal length of {evidence.focal:.2f} longer sides is not one of a real camera")
    return reasons


def _attempts(photos: PhotoFeatures, matches: Mapping[Pair, Tensor], config: SfmConfig, seed: int) -> Iterator[Attempt]:
    known = all(lens.exif_focal is not None for lens in photos.lenses)
    focals: list[float | None] = [None, None, *config.focals] if known else [*config.focals]
    best = sorted(matches, key=lambda pair: len(matches[pair]), reverse=True)[:_FIRST_PAIRS]
    shared = len(photos.lenses) < len(photos.names)
    attempts = [Attempt(focal, seed + index) for index, focal in enumerate(focals)]
    later = [Attempt(focals[0], seed + 100 + index, first=pair) for index, pair in enumerate(best)]
    own = []
    if shared and len(photos.names) >= 4:
        own = [Attempt(focal, seed + 200 + index, separate=True) for index, focal in enumerate(focals[:2])]
    again = [Attempt(focals[index % len(focals)], seed + 300 + index) for index in range(config.attempts)]
    yield from [*attempts[:3], *own, *attempts[3:], *later, *again][: config.attempts]


def _second_opinions(matches: Mapping[Pair, Tensor], config: SfmConfig, seed: int) -> Iterator[Attempt]:
    """Further attempts with own focal lengths."""
    best = sorted(matches, key=lambda pair: len(matches[pair]), reverse=True)[:_FIRST_PAIRS]
    for index, (focal, pair) in enumerate(zip(config.focals, itertools.cycle(best), strict=False)):
        yield Attempt(focal, seed + 400 + index, first=pair, separate=True)


def _needs_own_lenses(one: Found, found: Sequence[Found]) -> bool:
    """Whether no shared focal length comes near to what the attempt's own ones explain.

    A shared lens is forced on zoomed photos by a model that is wrong by degrees and fits four fifths of the matches.
    """
    rest = one.evidence.matches - one.evidence.support
    return one.attempt.separate and all(
        one.evidence.registered >= other.registered
        and rest < _SEPARATE_REST * (other.matches - other.support)
        and rest + _SEPARATE_SHARE * one.evidence.matches < other.matches - other.support
        for other in (another.evidence for another in found if not another.attempt.separate)
    )


def _alone(found: Sequence[Found], config: SfmConfig) -> bool:
    """Whether own focal lengths are needed, and too few attempts agree on the cameras."""
    models = [one.model for one in found]
    needed = [index for index, one in enumerate(found) if _needs_own_lenses(one, found)]
    return bool(needed) and all(count_agreeing(models, index) < config.min_agreeing for index in needed)


def _settled(found: list[Found], photos: int, config: SfmConfig) -> bool:
    whole = [one.model for one in found if one.evidence.registered == photos and not one.attempt.separate]
    return any(count_agreeing(whole, index) >= config.enough for index in range(len(whole)))


def _rank(one: Found, found: Sequence[Found], config: SfmConfig) -> tuple[bool, bool, float]:
    handicap = _SEPARATE_GAIN if one.attempt.separate else 1.0
    believed = one.evidence.agreeing >= config.min_agreeing
    return believed, _needs_own_lenses(one, found), one.evidence.score / handicap
