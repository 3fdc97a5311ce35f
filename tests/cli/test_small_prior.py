"""The small prior from the command line: pairs, training, and a whole run with it, learning the scene as well."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import photo_folder
import pytest
from command import Cli

from recon.learn import pairs
from recon.priors.small.network import NetworkConfig, Restorer
from recon.priors.small.weights import save_weights

GUIDANCE = "{start: 0.5, every: 6, views: 2, min_known: 0, max_side: 32, pairs_per_photo: 1}"


def test_pairs_and_training(tmp_path: Path, recon: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(pairs.SHORT_PLAN, sizes=((48, 32),), iterations=(10,), new_views=1, photos=(3,))
    monkeypatch.setattr(pairs, "SHORT_PLAN", plan)
    monkeypatch.setattr(pairs, "LONG_PLAN", plan)
    made = recon("prior", "pairs", "--out", tmp_path / "pairs", "--scenes", 1, "--long", 1, "--validation", 1)
    assert made.code == 0 and "2 scenes to learn from" in made.out
    options = ("--out", tmp_path / "out", "--iterations", 2, "--batch", 1, "--crop", 32)
    trained = recon("prior", "train", tmp_path / "pairs", *options)
    assert trained.code == 0 and "# The small prior" in trained.out
    assert (tmp_path / "out" / "weights.safetensors").is_file() and (tmp_path / "out" / "model-card.md").is_file()
    nothing = recon("prior", "train", tmp_path / "none", "--out", tmp_path / "other")
    assert nothing.code == 2 and "recon prior pairs" in nothing.err


@pytest.mark.parametrize("adapt", ["", ", adapt: {steps: 2, batch: 1, crop: 16}"], ids=["as it is", "adapted"])
def test_a_run_with_the_small_prior(adapt: str, work: Path, recon: Cli) -> None:
    save_weights(work / "small.safetensors", Restorer(NetworkConfig(widths=(8, 12), blocks=1)), {})
    entry = f"{{name: repair-small, weights: small.safetensors{adapt}}}"
    photo_folder.write_config(work / "scene.yaml", extra=f"  guidance: {GUIDANCE}\n  priors: [{entry}]\n")
    done = recon("run", work / "scene.yaml", "--quiet")
    assert done.code == 0, done.err
    metrics = json.loads((work / "out" / "metrics.json").read_text())
    assert metrics["repaired"]["psnr"] > metrics["test"]["psnr"] - 0.5
    rendered = recon("render", work / "out", "--repair", "--to", work / "repaired")
    assert rendered.code == 0, rendered.err
    assert (work / "repaired" / "02.png").is_file()


def test_weights_that_are_missing_are_named(work: Path, recon: Cli) -> None:
    photo_folder.write_config(work / "scene.yaml", extra="  priors: [{name: repair-small, weights: no.safetensors}]\n")
    done = recon("run", work / "scene.yaml", "--quiet")
    assert done.code == 2 and "no.safetensors" in done.err and "recon prior train" in done.err
