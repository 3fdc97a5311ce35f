from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from synthetic_photos import Shoot, make_shoot
from textured_room import make_room

from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion
from recon.poses.estimators.model_views import so_far
from recon.poses.features import FeatureConfig
from recon.poses.sfm.adjust import adjust
from recon.poses.sfm.advice import advice, advice_for_left_out, reason_left_out
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.evidence import same, weigh
from recon.poses.sfm.mapping import Attempt, Model, run_attempt
from recon.poses.sfm.pairs import match_photos, verified
from recon.poses.sfm.photos import read_photos
from recon.poses.sfm.resection import locate
from recon.poses.sfm.search import Found, doubts, search
from recon.poses.sfm.world import moved_pose, world_from_model
from recon.scene import View


def found_in(shoot: Shoot, config: SfmConfig | None = None) -> list[Found]:
    matches = {pair: verified(shoot.photos, pair, found, 0) for pair, found in shoot.matches.items()}
    matches = {pair: found for pair, found in matches.items() if len(found)}
    return search(shoot.photos, matches, config or SfmConfig(), 0, lambda done, total: None)


def worst_rotation_deg(model: Model, shoot: Shoot) -> float:
    """Largest error of a relative rotation between two photos."""
    errors = [
        rigid.rotation_angle((model.poses[j] @ rigid.inverse(model.poses[i]))[:3, :3] @
                       (shoot.poses[j] @ rigid.inverse(shoot.poses[i]))[:3, :3].T)
        for i in model.poses for j in model.poses if i < j
    ]  # fmt: skip
    return math.degrees(max(errors))


@pytest.mark.parametrize(("count", "focal"), [(3, 0.7), (5, 1.6)])
def test_cameras_and_the_focal_length_come_from_matches_alone(count: int, focal: float) -> None:
    shoot = make_shoot(count, focal=focal)
    best = found_in(shoot)[0]
    assert best.evidence.registered == count and not doubts(best.evidence, SfmConfig())
    model = adjust(best.model, shoot.matches, seed=0)
    assert worst_rotation_deg(model, shoot) < 0.3
    assert model.focal(0) == pytest.approx(focal, rel=0.02)
    assert model.error_px < 1.0


def test_a_search_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # On several threads Ceres adds up in another order, and the last bits differ.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    shoot = make_shoot(4)
    first, again = (found_in(shoot, SfmConfig(attempts=3)) for _ in range(2))
    assert [one.attempt for one in first] == [one.attempt for one in again]
    assert all(torch.equal(first[0].model.poses[k], again[0].model.poses[k]) for k in first[0].model.poses)


def test_who_watches_a_search_hears_of_better_models_only() -> None:
    shoot = make_shoot(4)
    heard: list[Model] = []
    config = SfmConfig(attempts=4)
    found = search(shoot.photos, shoot.matches, config, 0, lambda done, total: None, heard.append)
    scores = [weigh(model, shoot.matches, config).score for model in heard]
    assert scores == sorted(scores) and scores[-1] == max(one.evidence.score for one in found)
    world = so_far(
        heard[-1], [View(f"{k}", Camera.pinhole(800, 600, 1.0), torch.eye(4)) for k in range(4)], heard[-1].positions
    )
    assert [view.name for view in world.views] == ["0", "1", "2", "3"]
    assert world.points is not None and len(world.points.positions) == len(heard[-1].positions)


def test_photos_zoomed_differently_get_focal_lengths_of_their_own() -> None:
    shoot = make_shoot(focals=[0.7, 0.7, 0.7, 1.4, 1.4, 1.4])
    best = found_in(shoot)[0]
    assert best.attempt.separate
    model = adjust(best.model, shoot.matches, seed=0)
    assert [model.focal(k) for k in range(6)] == pytest.approx(shoot.focals, rel=0.05)


def test_a_photo_from_elsewhere_is_left_out_with_the_reason() -> None:
    shoot = make_shoot(5, wrong=0.0)
    matches = {pair: found[:3] if 4 in pair else found for pair, found in shoot.matches.items()}
    best = search(shoot.photos, matches, SfmConfig(), 0, lambda done, total: None)[0]
    assert sorted(best.model.poses) == [0, 1, 2, 3]
    assert reason_left_out(4, shoot.photos, matches).startswith("at most 3 matches, with ")


def test_a_copy_of_a_photo_is_found_out() -> None:
    photos = make_shoot(3, noise_px=0.2).photos
    twice = replace(
        photos, names=(*photos.names, "copy.jpg"), features=(*photos.features, photos.features[1]),
        lens_of=(*photos.lens_of, 0),
    )  # fmt: skip
    matches, repeats = match_photos(twice, SfmConfig(), 0, lambda done, total: None)
    assert repeats == {3: 1} and sorted(matches) == [(0, 1), (0, 2), (1, 2)]


def test_photos_from_one_place_are_not_believed() -> None:
    shoot = make_shoot(3, step_deg=0.02, noise_px=0.5)
    for one in found_in(shoot, SfmConfig(attempts=4)):
        assert doubts(one.evidence, SfmConfig())


def test_matches_at_random_give_nothing_that_is_believed() -> None:
    shoot = make_shoot(3, wrong=1.0)
    assert not any(len(verified(shoot.photos, pair, found, 0)) for pair, found in shoot.matches.items())
    assert found_in(shoot) == []


def test_the_header_s_focal_length_counts_for_more_than_a_usual_one() -> None:
    shoot, config = make_shoot(3), SfmConfig()
    model = run_attempt(shoot.photos, shoot.matches, Attempt(0.8, 0))
    assert model is not None
    without, near, far = (
        weigh(replace(model, photos=make_shoot(3, exif=exif).photos), shoot.matches, config).plausible
        for exif in (None, 0.8, 1.6)
    )
    assert near > without > far


def test_models_are_the_same_whatever_their_frame() -> None:
    shoot = make_shoot(4)
    model = run_attempt(shoot.photos, shoot.matches, Attempt(0.8, 0))
    assert model is not None
    order = sorted(model.poses)
    frame = world_from_model(torch.stack([model.poses[k] for k in order]), model.positions)
    moved = replace(model, poses={k: moved_pose(pose, *frame) for k, pose in model.poses.items()})
    assert same(model, moved)
    turned = rigid.from_rotation_translation(rigid.so3_exp(torch.tensor([0.0, 0.2, 0.0])).double(), torch.zeros(3))
    bent = replace(moved, poses=moved.poses | {order[0]: turned.double() @ moved.poses[order[0]]})
    assert not same(model, bent)


def test_the_world_has_y_up_and_cameras_at_a_distance_of_one() -> None:
    shoot = make_shoot(5)
    poses, positions = torch.stack(shoot.poses), torch.randn(100, 3, dtype=torch.float64) * 0.1
    rotation, origin, scale = world_from_model(poses, positions)
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
    moved = torch.stack([moved_pose(pose, rotation, origin, scale) for pose in poses])
    assert float(-moved[:, 1, 1].mean()) > 0.9  # the cameras' up has y
    assert float(rigid.camera_center(moved).norm(dim=1).median()) == pytest.approx(1.0, rel=0.01)


def test_a_held_out_photo_is_located_and_the_model_stays() -> None:
    shoot = make_shoot(6, wrong=0.0)
    photos = shoot.photos
    training = replace(photos, names=photos.names[:5], features=photos.features[:5], lens_of=photos.lens_of[:5])
    matches = {pair: found for pair, found in shoot.matches.items() if 5 not in pair}
    best = search(training, matches, SfmConfig(), 0, lambda done, total: None)[0]
    model = adjust(best.model, matches, seed=0)
    place, count = locate(model, photos.features[5], model.cameras[0], SfmConfig(), seed=0)
    assert place is not None and place.inliers <= count
    both = replace(model, poses=model.poses | {5: place.world_to_camera})
    assert worst_rotation_deg(both, shoot) < 0.3
    stranger = replace(photos.features[5], descriptors=-photos.features[5].descriptors)
    assert locate(model, stranger, model.cameras[0], SfmConfig(), seed=0)[0] is None


def test_cameras_that_are_given_are_not_looked_at() -> None:
    room = make_room(2)
    lens = Camera(480, 360, Camera.pinhole(480, 360, 99.0, 99.0, 3.0, 4.0).K, Distortion("opencv", (0.3, 0, 0, 0)))
    views = [replace(view, photo=None) for view in room.scene.views]  # their pixels are in memory
    wrong = [replace(view, camera=lens) for view in views]
    found, same = (read_photos(each, FeatureConfig(max_features=100), room.load) for each in (views, wrong))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(found.features, same.features, strict=True))
    assert found.lenses == same.lenses


def test_advice_names_pairs_and_photos() -> None:
    shoot = make_shoot(3, wrong=0.0)
    matches = {(0, 1): shoot.matches[0, 1], (0, 2): shoot.matches[0, 2][:4]}
    text = advice(shoot.photos, matches, ["a doubt"], SfmConfig())
    assert "a doubt" in text and "0.jpg and 1.jpg: 300 matches" in text
    assert "hardly any match with another photo: 2.jpg" in text and "overlap" in text


def test_advice_for_photos_that_are_left_out_says_where_to_take_more() -> None:
    photos = make_shoot(5, wrong=0.0).photos
    some = torch.zeros(60, 2, dtype=torch.long)
    matches = {(0, 1): some, (1, 2): some[:9], (2, 3): some, (0, 4): some[:0]}
    text = advice_for_left_out([2, 3, 4], photos, matches)
    assert "3 of 5 photos have no place" in text
    assert "2.jpg: photos between it and 1.jpg (9 matches); 3.jpg would come along" in text
    assert "3.jpg: photos on the way from it to one that has a place, none of which it matches; 2.jpg would" in text
    assert "4.jpg: photos on the way from it to one that has a place, none of which it matches\n" in text
    assert advice_for_left_out([], photos, matches) == ""
