"""A tiny network learns from tiny pairs, goes on where it was stopped, and leaves weights and a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_pairs
import torch

from recon.errors import ReconError
from recon.learn.measure import measure
from recon.learn.pairs import path_of, write_pairs
from recon.learn.session import CARD, WEIGHTS, Session
from recon.learn.train import Progress, TrainConfig, train
from recon.priors.small.network import NetworkConfig
from recon.priors.small.weights import describe, load_weights

PAIRS = [small_pairs.damaged(k) for k in range(4)]
CONFIG = TrainConfig(iterations=120, batch=4, crop=16, rate=5e-3, average=0.9)


def network(diffusion: bool) -> NetworkConfig:
    return NetworkConfig(widths=(16, 24), blocks=1, diffusion=diffusion)


@pytest.mark.parametrize("diffusion", [False, True], ids=["regression", "diffusion"])
def test_some_steps_of_training_repair_pairs_never_seen(diffusion: bool) -> None:
    losses: list[float] = []
    progress = Progress.start(network(diffusion), CONFIG)
    held_out = [small_pairs.damaged(100)]
    before = measure(progress.mean, held_out)
    train(progress, PAIRS, CONFIG, lambda iteration, loss: losses.append(loss), bfloat16=False)
    after = measure(progress.mean, held_out)
    assert losses and after["gain"] > before["gain"] + 2
    assert after["ssim"] > after["ssim_before"] and 0 < after["right_share"] < 1
    assert after["gain_3_to_4_photos"] == pytest.approx(after["gain"])


def test_resuming_gives_the_same(tmp_path: Path) -> None:
    straight = Progress.start(network(True), CONFIG)
    train(straight, PAIRS, CONFIG, lambda *_: None, until=12)
    half = Progress.start(network(True), CONFIG)
    train(half, PAIRS, CONFIG, lambda *_: None, until=5)
    half.save(tmp_path)
    resumed = Progress.start(network(True), CONFIG)
    resumed.load(tmp_path)
    assert resumed.iteration == 5
    train(resumed, PAIRS, CONFIG, lambda *_: None, until=12)
    for a, b in zip(straight.mean.parameters(), resumed.mean.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_session_leaves_weights_and_a_card_and_refuses_other_settings(tmp_path: Path) -> None:
    for k, pairs in enumerate(PAIRS):
        write_pairs(path_of(tmp_path / "pairs", "train" if k else "val", k), pairs)
    config = TrainConfig(iterations=3, batch=2, crop=16)
    session = Session(tmp_path / "pairs", tmp_path / "out", network(False), config, None)
    words = session.run()
    assert "3 procedural scenes" in words and (tmp_path / "out" / CARD).read_text() == words
    path = tmp_path / "out" / WEIGHTS
    about = describe(path)
    assert about["scenes"] == 3 and about["training"]["iterations"] == 3 and "gain" in about["metrics"]["1 step"]
    loaded = load_weights(path, torch.device("cpu"))
    assert sum(value.numel() for value in loaded.parameters()) == about["parameters"]
    assert session.run() == words, "a training that is done is not done again"
    other = Session(tmp_path / "pairs", tmp_path / "out", network(False), TrainConfig(iterations=4), None)
    with pytest.raises(ReconError, match="other settings"):
        other.run()


def test_weights_that_are_none_are_named(tmp_path: Path) -> None:
    for content in (None, b"", json.dumps({"a": 1}).encode()):
        path = tmp_path / "w.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ReconError, match=r"w\.safetensors.*recon prior train"):
            load_weights(path, torch.device("cpu"))
