"""Photos that match one of the model's photos and share next to nothing with two of them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from synthetic_photos import Shoot, make_shoot

from recon.evaluate.poses import pose_errors
from recon.poses.features import Features
from recon.poses.sfm.bridge import bridged
from recon.poses.sfm.config import PolishConfig
from recon.poses.sfm.mapping import Attempt, Model, Pair, run_attempt
from recon.scene import View

_FIRST, _SECOND = torch.arange(120), torch.arange(120, 240)  # points that two photos match, none of them the same


def two_of_three(seen_by_all: int, known_by_two: int = 300) -> tuple[Shoot, dict[Pair, torch.Tensor], Model]:
    """Three photos with matches between neighbours, a model of the first two, and `seen_by_all` points of which all
    three have a keypoint that looks alike."""
    shoot = make_shoot(3, points=known_by_two, step_deg=25.0, wrong=0.0)
    strangers = torch.Generator().manual_seed(1)

    def hidden(features: Features, points: torch.Tensor) -> Features:
        looks = features.descriptors.clone()
        looks[points] = torch.nn.functional.normalize(torch.randn(len(points), 128, generator=strangers), dim=1)
        return replace(features, descriptors=looks)

    alone = torch.arange(240 + seen_by_all, known_by_two)
    left, middle, right = shoot.photos.features
    features = (
        hidden(left, torch.cat([_SECOND, alone])), hidden(middle, alone), hidden(right, torch.cat([_FIRST, alone]))
    )  # fmt: skip
    shoot = replace(shoot, photos=replace(shoot.photos, features=features))
    matches = {(0, 1): _FIRST[:, None].expand(-1, 2), (1, 2): _SECOND[:, None].expand(-1, 2)}
    model = run_attempt(shoot.photos, {(0, 1): matches[0, 1]}, Attempt(0.8, 0))
    assert model is not None and sorted(model.poses) == [0, 1]
    return shoot, matches, model


def test_keypoints_along_epipolar_lines_tell_how_far_away_a_photo_was_taken() -> None:
    shoot, matches, model = two_of_three(seen_by_all=30)
    heard: list[tuple[int, int]] = []
    found, more, added = bridged(model, matches, PolishConfig(), 0, lambda done, total: heard.append((done, total)))
    assert heard == [(done, 6) for done in range(6)]
    assert sorted(found.poses) == [0, 1, 2] and [one.photo for one in added] == [2]
    assert added[0].agreeing >= 25 > 3 * added[0].otherwise and added[0].shared >= 25
    assert len(more[0, 2]) >= 25 and len(more[1, 2]) >= len(matches[1, 2])
    views = [View(str(k), found.cameras[k], found.poses[k]) for k in found.poses]
    errors = pose_errors(views, [View(str(k), found.cameras[k], pose) for k, pose in enumerate(shoot.poses)])
    assert errors is not None and max(errors.rotation_deg) < 1.0 and max(errors.center) < 0.01
    assert math.isclose(found.focal(2), 0.8, rel_tol=0.02)


def test_a_photo_of_which_nothing_tells_the_distance_stays_out() -> None:
    _, matches, model = two_of_three(seen_by_all=3)
    found, more, added = bridged(model, matches, PolishConfig(), seed=0)
    assert found is model and more == matches and not added


def test_a_photo_with_few_matches_is_not_tried() -> None:
    _, matches, model = two_of_three(seen_by_all=30)
    few = {**matches, (1, 2): matches[1, 2][:30]}
    assert bridged(model, few, PolishConfig(), seed=0)[0] is model
