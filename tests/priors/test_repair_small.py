"""The small prior: what it sees, that it leaves alone what it is not sure of, and that any size will do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.geometry.camera import Camera
from recon.priors.protocol import AdaptivePrior, Pair, Reference, Repaired, RepairPrior, RepairRequest
from recon.priors.repair_small import RepairSmallConfig
from recon.priors.small.adapt import AdaptSettings
from recon.priors.small.inputs import LAYERS, layers_of
from recon.priors.small.network import NetworkConfig, Restorer
from recon.priors.small.sampling import restore
from recon.priors.small.weights import WEIGHTS, describe, save_weights
from recon.priors.trust import blended, respect, say
from recon.scene import View

CPU = torch.device("cpu")


def view(width: int, height: int) -> View:
    return View("v", Camera.pinhole(width, height, 50.0), torch.eye(4, dtype=torch.float64))


def request(width: int = 21, height: int = 14, photos: int = 3) -> RepairRequest:
    g = torch.Generator().manual_seed(0)
    camera = view(width, height)
    references = []
    for k in range(photos):
        valid = torch.rand(height, width, generator=g) < 0.5
        image = torch.full((height, width, 3), 0.2 * (k + 1))
        references.append(Reference(image, camera, image * valid[..., None], valid))
    planes = [torch.rand(height, width, generator=g) for _ in range(3)]
    return RepairRequest(torch.rand(height, width, 3, generator=g), *planes, references, camera)


@pytest.fixture(params=[False, True], ids=["regression", "diffusion"])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A network with random weights in all its parts."""
    torch.manual_seed(1)
    network = Restorer(NetworkConfig(widths=(8, 12), blocks=1, diffusion=request.param))
    for value in network.parameters():
        value.data += 0.05 * torch.randn(value.shape)
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, {})
    return path


def test_it_sees_the_nearest_photo_of_every_pixel_and_the_next() -> None:
    asked = request()
    layers = layers_of(asked)
    assert layers.shape == (LAYERS, 14, 21)
    valid = torch.stack([one.valid for one in asked.references])
    count = valid.sum(0)
    assert (layers[8] == (count > 0)).all() and (layers[12] == (count > 1)).all()
    first = valid.int().argmax(0)
    assert torch.allclose(layers[5][count > 0], 0.2 * (first + 1)[count > 0])
    assert torch.equal(layers[5:8, count == 0], asked.render.permute(2, 0, 1)[:, count == 0])
    assert (layers_of(request(photos=0))[[8, 12]] == 0).all()


def test_an_answer_has_the_size_of_the_question_and_is_the_same_twice(weights: Path) -> None:
    prior = RepairSmallConfig(weights=weights).load(CPU)
    assert isinstance(prior, RepairPrior)
    asked = request()
    one, two = prior.repair(asked), prior.repair(asked)
    assert one.image.shape == asked.render.shape and one.confidence.shape == asked.alpha.shape
    assert torch.equal(one.image, two.image) and (one.image != asked.render).any()
    assert one.image.min() >= 0 and one.image.max() <= 1 and one.confidence.min() >= 0 and one.confidence.max() <= 1


def test_a_closed_gate_shows_the_render(weights: Path) -> None:
    network = RepairSmallConfig(weights=weights).load(CPU).network
    assert network.leave.bias is not None
    network.leave.bias.data[-4:] = -100.0
    layers = layers_of(request())[None]
    assert torch.equal(restore(network, layers).gated(layers[:, :3]), layers[:, :3])


def test_what_is_outside_of_the_picture_makes_no_difference_far_inside(weights: Path) -> None:
    """Sides that are no multiple of 8 are grown; a wider picture with the same middle gives the same middle."""
    network = RepairSmallConfig(weights=weights).load(CPU).network
    if network.config.diffusion:
        pytest.skip("its noise differs with the size")
    layers = torch.rand(1, LAYERS, 80, 83, generator=torch.Generator().manual_seed(2))
    whole, part = restore(network, layers).image, restore(network, layers[..., :77]).image
    torch.testing.assert_close(whole[..., 20:60, 20:50], part[..., 20:60, 20:50])


def test_other_weights_are_another_content(weights: Path, tmp_path: Path) -> None:
    one = RepairSmallConfig(weights=weights).content()
    other = tmp_path / "other.safetensors"
    save_weights(other, Restorer(NetworkConfig(widths=(8, 12), blocks=1)), {})
    assert one and RepairSmallConfig(weights=other).content() not in ("", one)


def test_it_learns_a_scene_from_its_own_pairs(weights: Path) -> None:
    asked = request(24, 24)
    # In this scene, photos are right and the render is not.
    layers = layers_of(asked)
    pair = Pair(asked, layers[5:8].permute(1, 2, 0).contiguous())
    settings = AdaptSettings(steps=30, batch=2, crop=16, rate=3e-3)
    prior = RepairSmallConfig(weights=weights, adapt=settings).load(CPU)
    assert isinstance(prior, AdaptivePrior) and prior.learns
    assert not RepairSmallConfig(weights=weights).load(CPU).learns

    def error(one: RepairPrior) -> float:
        return float((one.repair(asked).image - pair.truth).abs().mean())

    before = error(prior)
    learnt = prior.adapt([pair])
    assert error(prior) < 0.9 * before
    assert not any(value.requires_grad for value in prior.network.parameters())
    again = RepairSmallConfig(weights=weights, adapt=settings).load(CPU)
    again.restore(learnt)
    assert torch.equal(again.repair(asked).image, prior.repair(asked).image)


def test_its_own_share_decides_what_is_shown_and_what_is_learnt() -> None:
    asked = request()
    share, sure = torch.rand(2, *asked.alpha.shape, generator=torch.Generator().manual_seed(3)).unbind()
    answer = Repaired((asked.render + 0.1).clamp(0, 1), sure, share)
    held = respect(asked, answer)
    assert 0.1 < held < 1
    torch.testing.assert_close(say(asked, answer), share * sure * held)
    wanted = asked.render + (share * held)[..., None] * (answer.image - asked.render)
    torch.testing.assert_close(blended(asked, answer), wanted)


def test_the_weights_that_come_with_recon_load_and_say_how_they_were_made() -> None:
    prior = RepairSmallConfig().load(CPU)
    about = describe(WEIGHTS)
    assert WEIGHTS.stat().st_size <= 12e6 and about["parameters"] == sum(v.numel() for v in prior.network.parameters())
    assert {"training", "scenes", "hardware", "minutes", "metrics"} <= set(about)
    answer = prior.repair(request(96, 64))
    assert bool(answer.image.isfinite().all()) and answer.share is not None
