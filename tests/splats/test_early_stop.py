"""Training photos that are left out say when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_capture import make_capture

from recon.scene import Scene
from recon.splats.config import SplatsConfig
from recon.splats.early_stop import EarlyStopConfig, best_iteration
from recon.splats.init import InitConfig
from recon.splats.optimize import optimize


class Course:
    """A run whose error on each photo is known."""

    def __init__(self, errors: dict[str, Sequence[float]]) -> None:
        self.state, self.errors = SimpleNamespace(iteration=0), errors

    def iterate(self, measure: bool) -> None:
        self.state.iteration += 1

    def error(self, photo: str) -> float:
        return self.errors[photo][self.state.iteration // 10 - 1]


def test_it_stops_where_the_photos_that_are_left_out_are_best_on_average() -> None:
    errors = {"01.png": (0.1, 0.02, 0.03), "03.png": (0.1, 0.04, 0.01)}
    left_out: list[set[str]] = []
    scene = make_capture(views=5).scene
    everyone = {view.name for view in scene.split("train")}

    def start(kept: Scene) -> Any:
        left_out.append(everyone - {view.name for view in kept.split("train")})
        return Course(errors)

    found = best_iteration(scene, EarlyStopConfig(runs=2, every=10), 35, start, lambda name: name)  # type: ignore[arg-type, return-value]
    # In dB: 10 + 10, 17 + 14, 15.2 + 20.
    assert found == 30 and left_out == [{"01.png"}, {"03.png"}]
    two = make_capture(views=2).scene
    assert best_iteration(two, EarlyStopConfig(runs=2, every=10), 35, start, lambda name: name) == 35  # type: ignore[arg-type, return-value]


def test_a_run_stops_there_and_resumes_without_asking_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = make_capture(views=4)
    settings = SplatsConfig(
        iterations=20, init=InitConfig(min_points=10), early_stop=EarlyStopConfig(runs=1, every=5), report_every=5
    )
    asked = iter(range(1, 100))
    first = optimize(
        capture.scene, settings, images=capture.images, checkpoint_dir=tmp_path,
        should_stop=lambda: next(asked) == 3,
    )  # fmt: skip
    assert first.interrupted and first.iterations == 3
    whole = optimize(capture.scene, settings, images=capture.images)
    assert whole.iterations in (5, 10, 15, 20) and not whole.interrupted
    monkeypatch.setattr("recon.splats.optimize.best_iteration", lambda *_: pytest.fail("asked again"))
    resumed = optimize(capture.scene, settings, images=capture.images, resume_from=tmp_path)
    assert resumed.iterations == whole.iterations
    assert resumed.scene.splats is not None and whole.scene.splats is not None
    assert torch.equal(resumed.scene.splats["means"], whole.scene.splats["means"])
    unasked = optimize(capture.scene, replace(settings, early_stop=EarlyStopConfig()), images=capture.images)
    assert unasked.iterations == 20
