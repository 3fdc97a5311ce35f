"""Two models that judge each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_capture import Capture, make_capture

from recon.splats.config import SplatsConfig
from recon.splats.density import GradientConfig
from recon.splats.init import InitConfig
from recon.splats.optimize import SplatsResult, begin, optimize
from recon.splats.regularizers import Twin, TwinConfig
from recon.splats.schedule import ResolutionConfig

SETTINGS = SplatsConfig(
    iterations=30, init=InitConfig(min_points=10), resolution=ResolutionConfig(start_divisor=2, min_side=16),
    density=GradientConfig(start=5, stop=0.95, every=5, grow_gradient=1e-5, split_size=0.05, cap=300),
    twin=TwinConfig(prune_every=10, apart=0.05, weight=0.5, start=0.1),
)  # fmt: skip


@pytest.fixture(scope="module")
def capture() -> Capture:
    return make_capture()


def means(result: SplatsResult) -> torch.Tensor:
    assert result.scene.splats is not None
    return result.scene.splats["means"]


def test_a_run_with_a_twin_resumes_bit_for_bit_and_differs_from_one_without(capture: Capture, tmp_path: Path) -> None:
    def run(settings: SplatsConfig = SETTINGS, **more: object) -> SplatsResult:
        return optimize(capture.scene, settings, images=capture.images, **more)  # type: ignore[arg-type]

    whole, asked = run(), iter(range(1, 100))
    half = run(checkpoint_dir=tmp_path, should_stop=lambda: next(asked) == 13)
    assert half.interrupted and half.iterations == 13
    assert torch.equal(means(run(resume_from=tmp_path)), means(whole))
    single = means(run(replace(SETTINGS, twin=TwinConfig())))
    assert single.shape != means(whole).shape or not torch.equal(single, means(whole))


def test_both_models_learn_the_photos_and_look_at_each_other(capture: Capture) -> None:
    loop, _ = begin(capture.scene, SETTINGS, images=capture.images)
    twin, other = next(piece for piece in loop.regularizers if isinstance(piece, Twin)), loop.state.twin
    assert other is not None and twin.other.state is other
    photos = loop.levels[-1]
    before = [sum(model.error(photo) for photo in photos) for model in (loop, twin.other)]
    for _ in range(8):  # before primitives without a counterpart go
        loop.iterate(measure=False)
    assert other.iteration == loop.state.iteration == 8
    after = [sum(model.error(photo) for photo in photos) for model in (loop, twin.other)]
    assert all(new < old for new, old in zip(after, before, strict=True))
    # The models split primitives at random, so they are not the same.
    assert len(other) != len(loop.state) or not torch.equal(other.params["means"], loop.state.params["means"])


def test_what_has_no_counterpart_is_removed_from_both(capture: Capture) -> None:
    loop, _ = begin(capture.scene, replace(SETTINGS, twin=TwinConfig(prune_every=1)), images=capture.images)
    other = loop.state.twin
    assert other is not None
    both, count = (loop.state, other), len(other)
    both[0].params["means"].data[0] += torch.tensor([0.0, 0.8, 0])
    both[1].params["means"].data[1] -= torch.tensor([0.0, 0.8, 0])
    lost = [both[0].params["means"].detach()[0].clone(), both[1].params["means"].detach()[1].clone()]
    loop.iterate(measure=False)
    for state, gone in zip(both, lost, strict=True):
        assert count - 6 < len(state) < count
        assert float((state.params["means"].detach() - gone).norm(dim=-1).min()) > 0.05
