from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_capture import SIZE, Capture, make_capture

from recon.errors import ReconError
from recon.events import Event, Progress, StageWarning
from recon.io.images import Image
from recon.render.rasterize import rasterize
from recon.splats.appearance import evened
from recon.splats.checkpoint import FILE_NAME
from recon.splats.config import SplatsConfig
from recon.splats.density import GradientConfig, McmcConfig
from recon.splats.init import InitConfig
from recon.splats.optimize import SplatsResult, optimize
from recon.splats.regularizers import BinocularConfig, DropoutConfig, OpacityDecayConfig
from recon.splats.schedule import ResolutionConfig

STRATEGIES = {
    # Everything that restructures happens within 60 iterations, before and after the interruption at 30.
    "gradient": GradientConfig(
        start=10, stop=0.95, every=10, grow_gradient=1e-5, reset_every=25, split_size=0.05, cap=600
    ),
    "mcmc": McmcConfig(start=10, stop=0.95, every=10, growth=1.2, cap=150),
}


def config(iterations: int = 60, strategy: str = "gradient", **more: Any) -> SplatsConfig:
    return SplatsConfig(
        iterations=iterations, density=STRATEGIES[strategy], sh_interval=20, init=InitConfig(min_points=10),
        resolution=ResolutionConfig(start_divisor=2, min_side=16), dropout=DropoutConfig(rate=0.2),
        opacity_decay=OpacityDecayConfig(remaining=0.5, every=7), **more,
    )  # fmt: skip


def run(capture: Capture, settings: SplatsConfig, **more: Any) -> SplatsResult:
    return optimize(capture.scene, settings, images=capture.images, **more)


def assert_same(a: SplatsResult, b: SplatsResult) -> None:
    assert a.scene.splats is not None and b.scene.splats is not None
    assert a.scene.splats.params.keys() == b.scene.splats.params.keys()
    for name, value in a.scene.splats.params.items():
        assert torch.equal(value, b.scene.splats.params[name]), name
    assert a.history == b.history


def psnr_on(capture: Capture, result: SplatsResult, which: str, background: float = 0.0) -> float:
    assert result.scene.splats is not None
    errors = []
    for view in capture.scene.split(which):  # type: ignore[arg-type]
        render = rasterize(
            result.scene.splats.params, view.world_to_camera.float(), view.camera.K.float(), *SIZE,
            background=torch.full((3,), background),
        )  # fmt: skip
        image = capture.images[view.name]
        target = torch.from_numpy(image.rgb)
        if image.alpha is not None:
            alpha = torch.from_numpy(image.alpha)[..., None]
            target = target * alpha + background * (1 - alpha)
        errors.append(float((render.color.clamp(0, 1) - target).square().mean()))
    return -10 * torch.log10(torch.tensor(errors).mean()).item()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resuming_continues_bit_for_bit(strategy: str, tmp_path: Path) -> None:
    capture, settings = make_capture(), config(strategy=strategy)
    straight = run(capture, settings)
    assert not straight.interrupted and straight.iterations == 60

    asked = iter(range(1, 1000))
    half = run(capture, settings, checkpoint_dir=tmp_path, should_stop=lambda: next(asked) == 30)
    assert half.interrupted and half.iterations == 30
    assert half.scene.splats is not None
    resumed = run(capture, settings, resume_from=tmp_path)
    assert not resumed.interrupted and resumed.iterations == 60
    assert_same(straight, resumed)


def test_binocular_consistency_resumes_and_changes_the_result(tmp_path: Path) -> None:
    capture = make_capture()
    settings = config(binocular=BinocularConfig(weight=0.5, start=0.2))
    whole = run(capture, settings)
    stopping = iter([False] * 29 + [True] * 100)
    run(capture, settings, should_stop=lambda: next(stopping), checkpoint_dir=tmp_path)
    assert_same(whole, run(capture, settings, resume_from=tmp_path))
    with pytest.raises(AssertionError):
        assert_same(whole, run(capture, config()))


def test_scheduled_checkpoints_resume_too(tmp_path: Path) -> None:
    capture, settings = make_capture(), config(checkpoint_every=25)
    straight = run(capture, settings, checkpoint_dir=tmp_path)
    resumed = run(capture, settings, resume_from=tmp_path)  # from iteration 50
    assert_same(straight, resumed)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_the_number_of_threads_does_not_matter() -> None:
    capture, before = make_capture(), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(run(capture, config(30)))
    finally:
        torch.set_num_threads(before)
    assert_same(*results)


def test_another_seed_gives_another_result() -> None:
    capture = make_capture()
    a, b = (run(capture, config(20), seed=seed).scene.splats for seed in (0, 1))
    assert a is not None and b is not None
    assert len(a) != len(b) or not torch.equal(a["means"], b["means"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_training_explains_the_photos_and_a_view_between_them(strategy: str) -> None:
    capture = make_capture()
    settings = SplatsConfig(iterations=600, density=STRATEGIES[strategy], init=InitConfig(min_points=10))
    before, after = run(capture, replace(settings, iterations=1)), run(capture, settings)
    assert psnr_on(capture, after, "train") > psnr_on(capture, before, "train") + 8
    assert psnr_on(capture, after, "test") > psnr_on(capture, before, "test") + 5


@pytest.mark.slow
def test_random_backgrounds_teach_what_is_empty() -> None:
    capture = make_capture(alpha=True)
    # Decay is spread over the run: in one this short it would keep every opacity below what the object has.
    settings = SplatsConfig(
        iterations=400, init=InitConfig(min_points=10), opacity_decay=OpacityDecayConfig(remaining=1.0)
    )
    result = run(capture, settings, background=(1.0, 1.0, 1.0))
    # One set of splats is right on every background only if its coverage is right too.
    assert min(psnr_on(capture, result, "train", value) for value in (0.0, 0.5, 1.0)) > 24


def test_events_tell_the_progress() -> None:
    heard: list[Event] = []
    result = run(make_capture(), config(35), events=heard.append)
    progress = [event for event in heard if isinstance(event, Progress)]
    assert [event.iteration for event in progress] == [10, 20, 30, 35]
    last = progress[-1]
    assert last.total == 35 and last.eta_s == 0 and last.it_per_s is not None and last.it_per_s > 0
    assert last.psnr == result.history[-1]["psnr"]
    assert last.num_primitives == result.history[-1]["num_primitives"]


def test_without_points_a_warning_and_a_random_start() -> None:
    heard: list[Event] = []
    settings = replace(config(5), init=InitConfig(random_points=200))
    result = run(make_capture(points=None), settings, events=heard.append)
    assert isinstance(heard[0], StageWarning)
    assert result.scene.splats is not None


def test_test_photos_are_not_needed() -> None:
    capture = make_capture()
    del capture.images["05.png"]
    assert run(capture, config(3)).iterations == 3


def test_fully_transparent_primitives_are_not_kept() -> None:
    splats = run(make_capture(), config(60)).scene.splats
    assert splats is not None
    assert float(splats["opacity_logits"].sigmoid().min()) >= 1 / 255


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    capture = make_capture()
    run(capture, config(20, checkpoint_every=10), checkpoint_dir=tmp_path)
    with pytest.raises(ReconError, match="other settings"):
        run(capture, config(30), resume_from=tmp_path)
    with pytest.raises(ReconError, match="other settings"):
        run(capture, config(20), seed=1, resume_from=tmp_path)


def test_a_missing_or_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    capture = make_capture()
    with pytest.raises(ReconError, match="no checkpoint"):
        run(capture, config(20), resume_from=tmp_path)
    run(capture, config(20, checkpoint_every=10), checkpoint_dir=tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReconError, match="cannot be read"):
        run(capture, config(20), resume_from=tmp_path)


def test_sizes_that_do_not_fit_are_refused() -> None:
    capture = make_capture()
    capture.images["00.png"] = Image(capture.images["00.png"].rgb[:-2], None)
    with pytest.raises(ReconError, match=r"00\.png.*72x56.*72x54"):
        run(capture, config(3))


def test_no_training_view_is_an_error() -> None:
    capture = make_capture()
    held_out = tuple(replace(view, split="test") for view in capture.scene.views)
    with pytest.raises(ReconError, match="no training view"):
        optimize(replace(capture.scene, views=held_out), config(3), images=capture.images)


def test_frozen_harmonics_stay_where_they_are() -> None:
    capture = make_capture()
    frozen = run(capture, config(sh_degree=1, sh_freeze=0.0)).scene.splats
    free = run(capture, config(sh_degree=1)).scene.splats
    assert frozen is not None and free is not None
    assert not bool(frozen["sh_coeffs"][:, 1:].any()) and bool(free["sh_coeffs"][:, 1:].any())


def test_photos_of_other_brightness_are_evened_when_asked() -> None:
    capture = make_capture(gaussians=300, points=300)
    gains = (1.25, 0.8, 1.1, 1 / 1.1, 1.0)
    changed = {f"{k:02d}.png": Image(capture.images[f"{k:02d}.png"].rgb * gain, None) for k, gain in enumerate(gains)}
    uneven = replace(capture, images={**capture.images, **changed})
    assert capture.scene.points is not None
    before = evened(capture.scene.split("train"), uneven.images, capture.scene.points)
    wanted = run(replace(capture, images=before), config(20))
    assert_same(run(uneven, config(20, appearance="gains")), wanted)
    with pytest.raises(ReconError, match="no points to compare"):
        run(make_capture(points=None), config(appearance="gains"))
