"""Every adapter of diffusers on a tiny random checkpoint: shapes, equal answers, what its options change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.priors import AdaptivePrior, ClipPrior, Pair, Reference, RepairPrior, RepairRequest, ScorePrior
from recon.priors.controlnet_tile import ControlNetTileConfig
from recon.priors.difix import DifixConfig
from recon.priors.distillation import DistillationConfig
from recon.priors.image_to_image import ImageToImageConfig
from recon.priors.latent import LatentDiffusion
from recon.priors.lora import LoraSettings, add_lora, lora_tensors, trainable
from recon.priors.video import VideoConfig
from recon.scene import View

CPU = torch.device("cpu")
WIDTH, HEIGHT = 38, 26  # no multiples of anything that a network wants


def request(seed: int = 0) -> RepairRequest:
    g = torch.Generator().manual_seed(seed)
    view = View("a", Camera.pinhole(WIDTH, HEIGHT, 40.0), torch.eye(4, dtype=torch.float64))
    plane = torch.ones(HEIGHT, WIDTH)
    render, photo = torch.rand(2, HEIGHT, WIDTH, 3, generator=g)
    return RepairRequest(render, plane, 0 * plane, plane, [Reference(photo, view, photo, plane > 0)], view)


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_stable_diffusion(tmp_path_factory.mktemp("stable"))


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_controlnet(tmp_path_factory.mktemp("control"))


def check(found: Any, asked: RepairRequest) -> None:
    assert found.image.shape == asked.render.shape and found.image.dtype == torch.float32
    assert found.confidence.shape == asked.alpha.shape
    for tensor in (found.image, found.confidence):
        assert float(tensor.min()) >= 0 and float(tensor.max()) <= 1


@pytest.mark.parametrize(
    "options", [{}, {"tiling": True}, {"precision": "bfloat16"}, {"samples": 1}, {"offload": "model"}]
)
def test_image_to_image(stable: Path, options: dict[str, Any]) -> None:
    prior = ImageToImageConfig(checkpoint=stable, steps=2, strength=0.6, **options).load(CPU)
    assert isinstance(prior, RepairPrior)
    found = prior.repair(request())
    check(found, request())
    torch.testing.assert_close(prior.repair(request()).image, found.image)
    assert options.get("samples") != 1 or (found.confidence == 0.5).all()


def test_little_strength_leaves_more_of_the_render(stable: Path) -> None:
    changes = []
    for strength in (0.1, 0.9):
        prior = ImageToImageConfig(checkpoint=stable, steps=10, strength=strength, samples=1).load(CPU)
        changes.append(prior.repair(request()).image)
    assert (changes[0] - changes[1]).abs().mean() > 1e-3


def test_a_lora_goes_on_top(stable: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    net = LatentDiffusion(DifixConfig(checkpoint=stable), CPU)
    add_lora(net.unet, LoraSettings(rank=2))
    for parameter in trainable(net.unet):
        parameter.data.fill_(0.3)
    StableDiffusionImg2ImgPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=lora_tensors(net.unet))
    options: dict[str, Any] = {"checkpoint": stable, "steps": 2, "strength": 0.6, "samples": 1}
    plain, tuned = (ImageToImageConfig(**options, lora=lora) for lora in (None, tmp_path / "lora"))
    assert plain.content() != tuned.content()
    assert not torch.allclose(tuned.load(CPU).repair(request()).image, plain.load(CPU).repair(request()).image)
    with pytest.raises(ReconError, match="prior: lora"):
        ImageToImageConfig(**options, lora=tmp_path / "none").load(CPU)


def test_controlnet_tile_repairs_and_learns(stable: Path, control: Path) -> None:
    settings = LoraSettings(steps=3, rank=2, rate=1e-2)
    config = ControlNetTileConfig(checkpoint=stable, controlnet=control, steps=2, strength=0.6, adapt=settings)
    prior = config.load(CPU)
    assert isinstance(prior, RepairPrior) and isinstance(prior, AdaptivePrior) and prior.learns
    before = prior.repair(request())
    check(before, request())
    learnt = prior.adapt([Pair(request(1), request(2).render)])
    after = prior.repair(request()).image
    assert not torch.equal(after, before.image)
    other = config.load(CPU)
    other.restore(learnt)
    torch.testing.assert_close(other.repair(request()).image, after)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_difix_looks_at_the_photo(tmp_path: Path, prediction: str) -> None:
    folder = tiny_models.save_stable_diffusion(tmp_path, prediction)
    with_photo, without = (DifixConfig(checkpoint=folder, reference=reference).load(CPU) for reference in (True, False))
    found = with_photo.repair(request())
    check(found, request())
    torch.testing.assert_close(with_photo.repair(request()).image, found.image)
    assert not torch.allclose(without.repair(request()).image, found.image)


def test_difix_with_skips_of_nothing_is_difix_without(stable: Path, tmp_path: Path) -> None:
    plain = DifixConfig(checkpoint=stable).load(CPU).repair(request()).image
    folder = tiny_models.save_stable_diffusion(tmp_path)
    zero = DifixConfig(checkpoint=tiny_models.add_skips(folder, 0.0)).load(CPU).repair(request()).image
    torch.testing.assert_close(zero, plain)
    some = DifixConfig(checkpoint=tiny_models.add_skips(folder, 0.1)).load(CPU).repair(request()).image
    assert not torch.allclose(some, plain)


def test_difix_learns_pairs(stable: Path) -> None:
    config = DifixConfig(checkpoint=stable, mirror=False, adapt=LoraSettings(steps=20, rank=4, rate=1e-2))
    prior = config.load(CPU)
    pair = Pair(request(1), torch.full((HEIGHT, WIDTH, 3), 0.5))

    def error() -> float:
        with torch.no_grad():
            wanted = prior.net.encode(prior.net.sized(pair.truth)[None])
            return float((prior._clean(prior._images(pair.request))[:1] - wanted).square().mean())

    before = error()
    learnt = prior.adapt([pair])
    after = error()
    assert after < 0.9 * before
    prior.restore(learnt)
    assert error() == pytest.approx(after, rel=1e-4)


@pytest.mark.parametrize("form", ["sds", "variational", "category"])
def test_distillation_gives_gradients_of_the_renders_size(stable: Path, form: Any) -> None:
    config = DistillationConfig(checkpoint=stable, form=form, category="a thing", lora=LoraSettings(rank=2))
    prior = config.load(CPU)
    assert isinstance(prior, ScorePrior) and not isinstance(prior, RepairPrior)
    asked = request()

    def gradient(step: float) -> Tensor:
        return prior.gradient(asked.render, asked.alpha, asked.camera, step)

    found = gradient(0.3)
    assert found.shape == asked.render.shape and found.isfinite().all() and bool(found.abs().max() > 0)
    if form == "variational":
        assert not torch.allclose(gradient(0.3), found)  # it has learnt this render in the meantime
    else:
        torch.testing.assert_close(gradient(0.3), found)
    assert not torch.allclose(gradient(0.6), found)


def test_distillation_descends_towards_what_the_model_expects(stable: Path) -> None:
    asked = request()

    def largest(prompt: str) -> float:
        config = DistillationConfig(
            checkpoint=stable, form="category", prompt=prompt, category="a thing", text_scale=1.0
        )  # fmt: skip
        prior = config.load(CPU)
        prior.net.prompt = prior.net.embed(prompt.removesuffix("."))
        return float(prior.gradient(asked.render, asked.alpha, asked.camera, 0.0).abs().max())

    # Where the scene is expected to show what its category does, nothing is left but rounding.
    assert largest("a thing.") < 1e-3 * largest("a blue thing on a table")


def test_a_category_says_less_than_the_prompt(stable: Path) -> None:
    with pytest.raises(ValueError, match="category"):
        DistillationConfig(checkpoint=stable, form="category", category="a photo")


def test_levels_of_noise_must_fit(stable: Path) -> None:
    with pytest.raises(ValueError, match="least_noise"):
        DistillationConfig(checkpoint=stable, least_noise=0.3)


def test_video_repairs_a_path_whose_frames_are_fewer_than_the_model_takes(tmp_path: Path) -> None:
    folder = tiny_models.save_animate_diff(tmp_path)
    prior = VideoConfig(checkpoint=folder, steps=2, strength=0.6, frames=4, multiple=4).load(CPU)
    assert isinstance(prior, ClipPrior) and not isinstance(prior, RepairPrior)
    asked = [request(seed) for seed in range(3)]
    found = prior.repair_clip(asked)
    assert len(found) == 3
    for one, two in zip(found, asked, strict=True):
        check(one, two)


def test_a_pipeline_that_takes_no_video_is_refused(stable: Path) -> None:
    with pytest.raises(ReconError, match="AnimateDiffVideoToVideoPipeline"):
        VideoConfig(checkpoint=stable, pipeline="StableDiffusionPipeline").load(CPU)


def test_both_folders_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReconError) as caught:
        ControlNetTileConfig(checkpoint=tmp_path / "sd", controlnet=tmp_path / "tile").load(CPU)
    assert f"no folder {tmp_path}/sd; no folder {tmp_path}/tile" in str(caught.value)
    assert "hf download lllyasviel/control_v11f1e_sd15_tile" in str(caught.value)
