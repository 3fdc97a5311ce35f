"""Priors in the optimisation: where they look, how far they are trusted, and that photos win over a bad one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_capture
import torch
from torch import Tensor

from recon.priors import Depth, Pair, Prior, Repaired, RepairRequest
from recon.priors.surroundings import Drawn as Shown
from recon.priors.surroundings import Surroundings
from recon.priors.trust import blended, merged, respect, say
from recon.render.rasterize import rasterize
from recon.scene import View
from recon.splats.config import SplatsConfig
from recon.splats.guidance.config import GuidanceConfig
from recon.splats.guidance.places import candidates, choose
from recon.splats.optimize import SplatsResult, optimize
from recon.splats.regularizers.monocular import correlation, depth_normals


class Identity:
    """Finds nothing to repair."""

    def __init__(self) -> None:
        self.requests: list[RepairRequest] = []

    def repair(self, request: RepairRequest) -> Repaired:
        self.requests.append(request)
        return Repaired(request.render.clone(), torch.ones_like(request.alpha))


class Noise(Identity):
    """Sure of nonsense."""

    def repair(self, request: RepairRequest) -> Repaired:
        self.requests.append(request)
        g = torch.Generator().manual_seed(len(self.requests))
        return Repaired(torch.rand(request.render.shape, generator=g), torch.ones_like(request.alpha))


class Sly(Identity):
    """Leaves alone what is known and is sure of nonsense elsewhere."""

    def repair(self, request: RepairRequest) -> Repaired:
        noise = Noise.repair(self, request)  # type: ignore[arg-type]
        known = (request.confidence > 0.3)[..., None]
        return Repaired(torch.where(known, request.render, noise.image), noise.confidence)


class Clip(Identity):
    """Repairs a whole path at once."""

    def repair_clip(self, requests: Sequence[RepairRequest]) -> list[Repaired]:
        return [self.repair(request) for request in requests]


class Truth(Identity):
    """Knows the scene."""

    def __init__(self, truth: dict[str, Tensor]) -> None:
        super().__init__()
        self.truth = truth

    def repair(self, request: RepairRequest) -> Repaired:
        return Repaired(draw(self.truth, request.camera).color, torch.ones_like(request.alpha))


class Learner(Identity):
    """Learns the mean brightness of the photos."""

    learns = True

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Pair] = []
        self.level = torch.zeros(1)

    def adapt(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        self.pairs = list(pairs)
        self.level = torch.stack([pair.truth.mean() for pair in pairs]).mean()[None]
        return {"level": self.level}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.level = tensors["level"]

    def repair(self, request: RepairRequest) -> Repaired:
        unsure = (1 - request.confidence)[..., None]
        return Repaired(request.render + 0.3 * unsure * (self.level - request.render), torch.ones_like(request.alpha))


class Score:
    """Pulls renders towards grey."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def gradient(self, render: Tensor, alpha: Tensor, camera: View, step: float) -> Tensor:
        self.steps.append(step)
        return render - 0.5


def draw(params: dict[str, Tensor], view: View) -> Shown:
    camera = view.camera
    found = rasterize(
        params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height, depth=True,
        background=torch.zeros(3),
    )  # fmt: skip
    assert found.depth is not None
    return Shown(found.color.clamp(0, 1), found.alpha, found.depth)


@pytest.fixture(scope="module")
def capture() -> tiny_capture.Capture:
    return tiny_capture.make_capture(views=4)


def config(**guidance: Any) -> SplatsConfig:
    return SplatsConfig(
        iterations=80, sh_degree=0, report_every=80,
        guidance=GuidanceConfig(**({"start": 0.5, "every": 20, "views": 4, "min_known": 0.0} | guidance)),
    )  # fmt: skip


def run(
    capture: tiny_capture.Capture, priors: Sequence[Prior], settings: SplatsConfig | None = None, **more: Any
) -> SplatsResult:
    return optimize(capture.scene, settings or config(), images=capture.images, priors=priors, **more)


def held_out_error(capture: tiny_capture.Capture, result: SplatsResult, split: Any = "test") -> float:
    splats = result.scene.splats
    assert splats is not None
    errors = [
        (draw(dict(splats.params), view).color - torch.from_numpy(capture.images[view.name].rgb)).square().mean()
        for view in capture.scene.split(split)
    ]
    return float(torch.stack(errors).mean())


def same(a: SplatsResult, b: SplatsResult) -> bool:
    assert a.scene.splats is not None and b.scene.splats is not None
    return all(torch.equal(value, b.scene.splats[name]) for name, value in a.scene.splats.params.items())


def test_novel_views_are_repaired_on_schedule_and_carry_references(capture: tiny_capture.Capture) -> None:
    prior = Identity()
    run(capture, [prior])
    assert len(prior.requests) == 2 * 4  # at iterations 40 and 60
    one = prior.requests[0]
    height, width = one.alpha.shape
    assert (width, height) == (one.camera.camera.width, one.camera.camera.height) == tiny_capture.SIZE
    assert len(one.references) == 4 and one.references[0].warped.shape == one.render.shape
    assert bool(one.references[0].valid.any())
    assert float(one.confidence.min()) >= 0 and 0.05 < float(one.confidence.mean()) < 1
    names = [request.camera.world_to_camera for request in prior.requests]
    assert not torch.equal(names[0], names[4])  # other places each time


def test_a_prior_that_knows_the_scene_helps_and_one_of_noise_does_no_harm(capture: tiny_capture.Capture) -> None:
    base = held_out_error(capture, run(capture, []))
    assert held_out_error(capture, run(capture, [Truth(capture.truth)])) < 0.98 * base
    # 0.1 dB is 2.3 %.
    for prior in (Identity(), Noise()):
        assert held_out_error(capture, run(capture, [prior])) < 1.023 * base, type(prior).__name__
    # What photos show stays theirs even when nonsense is told of all the rest.
    trained = held_out_error(capture, run(capture, []), "train")
    assert held_out_error(capture, run(capture, [Sly()]), "train") < 1.1 * trained


def test_clips_are_asked_for_at_once(capture: tiny_capture.Capture) -> None:
    clip = Clip()
    run(capture, [clip])
    assert len(clip.requests) == 2 * 4


def test_scores_pull_where_the_scene_is_unsure(capture: tiny_capture.Capture) -> None:
    score = Score()
    guided = run(capture, [score], config(score_weight=10.0))
    assert len(score.steps) == 40 and score.steps[0] == 0 and 0.9 < score.steps[-1] < 1
    assert not same(guided, run(capture, []))


def test_a_resumed_run_ends_as_one_that_was_never_stopped(capture: tiny_capture.Capture, tmp_path: Path) -> None:
    whole = run(capture, [Truth(capture.truth)])
    calls = iter([False] * 50 + [True] * 9)
    first = run(capture, [Truth(capture.truth)], checkpoint_dir=tmp_path, should_stop=lambda: next(calls))
    assert first.interrupted
    rest = run(capture, [Truth(capture.truth)], resume_from=tmp_path)
    assert same(rest, whole)


@pytest.mark.parametrize(("pairs", "count"), [("masked", 4 * 2), ("leave-one-out", 4)])
def test_a_prior_learns_the_scene_from_its_own_pairs(capture: tiny_capture.Capture, pairs: str, count: int) -> None:
    prior = Learner()
    run(capture, [prior], config(pairs=pairs, pairs_per_photo=2, pair_iterations=40))
    assert len(prior.pairs) == count
    for pair in prior.pairs:
        name = pair.request.camera.name
        assert all(one.camera.name != name for one in pair.request.references)
        torch.testing.assert_close(pair.truth, torch.from_numpy(capture.images[name].rgb))
        assert 0.01 < float((pair.truth - pair.request.render).abs().mean()) < 0.4  # damaged, and not beyond knowing


def test_what_was_learnt_survives_a_stop(capture: tiny_capture.Capture, tmp_path: Path) -> None:
    whole = run(capture, [Learner()])
    calls = iter([False] * 50 + [True] * 9)
    run(capture, [Learner()], checkpoint_dir=tmp_path, should_stop=lambda: next(calls))
    prior = Learner()
    rest = run(capture, [prior], resume_from=tmp_path)
    assert prior.pairs == [] and float(prior.level) > 0
    assert same(rest, whole) and set(rest.learnt) == {"0/level"}


def test_depth_and_normals_of_photos_count(capture: tiny_capture.Capture) -> None:
    class Slope:
        def depth(self, photo: Tensor) -> Depth:
            return Depth(torch.linspace(1, 2, photo.shape[0])[:, None].expand(photo.shape[:2]), "inverse")

    class Facing:
        def normal(self, photo: Tensor) -> Tensor:
            return torch.tensor([0.0, 0, -1]).expand(photo.shape)

    plain = run(capture, [])
    for prior in (Slope(), Facing()):
        assert not same(run(capture, [prior]), plain)


def test_correlation_ignores_scale_and_shift() -> None:
    a = torch.rand(8, 9, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(8, 9)
    assert float(correlation(a, 3 * a + 7, ones)) == pytest.approx(1, abs=1e-5)
    assert float(correlation(a, -a, ones)) == pytest.approx(-1, abs=1e-5)
    assert float(correlation(a, ones, ones)) == 0


def test_normals_of_a_wall_face_the_camera_and_those_of_a_floor_face_up() -> None:
    K = torch.tensor([[50.0, 0, 20], [0, 50, 15], [0, 0, 1]])
    torch.testing.assert_close(depth_normals(torch.full((30, 40), 2.0), K)[5, 5], torch.tensor([0.0, 0, -1]))
    rows = torch.arange(16, 30) + 0.5
    floor = (50 * 1.0 / (rows - 15))[:, None].expand(14, 40)  # y = 1
    below = torch.tensor([[50.0, 0, 20], [0, 50, -1], [0, 0, 1]])
    torch.testing.assert_close(depth_normals(floor, below)[6, 20], torch.tensor([0.0, -1, 0]), atol=1e-3, rtol=0)


def test_places_lie_on_paths_and_the_unsure_ones_come_first(capture: tiny_capture.Capture) -> None:
    views = capture.scene.split("train")
    assert len(candidates(views, 12, 0.3)) == pytest.approx(12, abs=2)
    assert candidates(views[:1], 12, 0.0) == []
    photos = [(torch.from_numpy(capture.images[view.name].rgb), None, view) for view in views]
    around = Surroundings(photos, lambda view: draw(capture.truth, view), 2)
    places = choose(views, around, 3, lambda view, side: view, 0.0, 0.0, contiguous=False)
    assert len(places) == 3 and all(0 <= place.distance <= 1 for place in places)
    every = choose(views, around, 12, lambda view, side: view, 0.0, 0.0, contiguous=False)
    unsure = [1 - float(around.request(place.camera).confidence.mean()) for place in (*places, *every)]
    assert max(unsure[:3]) >= sorted(unsure)[-6]
    assert choose(views, around, 3, lambda view, side: view, 0.0, 1.0, contiguous=True) == []


def test_who_changes_what_is_known_is_not_believed(capture: tiny_capture.Capture) -> None:
    views = capture.scene.split("train")
    photos = [(torch.from_numpy(capture.images[view.name].rgb), None, view) for view in views]
    request = Surroundings(photos, lambda view: draw(capture.truth, view), 2).request(views[0])
    good = Identity().repair(request)
    assert respect(request, good) == 1
    bad = replace(good, image=1 - good.image)
    assert respect(request, bad) < 0.05
    assert float(say(request, good)[request.confidence > 0.6].max()) < 0.4 + 1e-6
    # A blur changes little of what is known, and shows it worse than the splats do.
    planes = good.image.permute(2, 0, 1)[None]
    blurred = torch.nn.functional.avg_pool2d(planes, 9, stride=1, padding=4, count_include_pad=False)[0].permute(
        1, 2, 0
    )
    assert respect(request, replace(good, image=blurred)) < 0.8
    changed = (blended(request, bad) - request.render).abs().max()
    assert float(changed) < 0.05


def test_two_priors_that_disagree_count_less() -> None:
    a = Repaired(torch.full((4, 4, 3), 0.4), torch.ones(4, 4))
    b = Repaired(torch.full((4, 4, 3), 0.6), torch.ones(4, 4))
    torch.testing.assert_close(merged([a, a]).image, a.image)
    assert float(merged([a, a]).confidence.min()) == 1
    both = merged([a, b])
    torch.testing.assert_close(both.image, torch.full((4, 4, 3), 0.5))
    assert float(both.confidence.max()) < 0.4
