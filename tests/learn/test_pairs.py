"""Pairs to learn from: the same from the same number, whole on disk, recoloured alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_pairs

from recon.errors import ReconError
from recon.learn import pairs as module
from recon.learn.batches import draw, load_folder, recolored
from recon.learn.pairs import LONG, make_pairs, path_of, read_pairs, wanted, write_pairs
from recon.priors.small.inputs import LAYERS


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes that take a second."""
    plan = replace(module.SHORT_PLAN, sizes=((64, 48),), iterations=(30,), new_views=2)
    monkeypatch.setattr(module, "SHORT_PLAN", plan)


def test_pairs_follow_from_the_number_of_the_scene(tiny: None) -> None:
    first, again, other = make_pairs(4, "train"), make_pairs(4, "train"), make_pairs(4, "val")
    assert first.layers.shape == (4, LAYERS, 48, 64) and first.truth.shape == (4, 3, 48, 64)
    assert (first.layers == again.layers).all() and (first.truth == again.truth).all()
    assert (first.truth[:1] != other.truth[:1]).mean() > 0.5, "validation is on other scenes"
    assert first.stage.tolist() == pytest.approx([0.5, 0.5, 1, 1])
    # Where a photo is warped to, it is nearer to the truth there than to the truth elsewhere.
    layers, truth = first.layers[2:].astype(float), first.truth[2:].astype(float)
    seen = layers[:, 8] > 0
    assert 0.1 < seen.mean() < 1
    photo, there = (values.transpose(0, 2, 3, 1)[seen] for values in (layers[:, 5:8], truth))
    elsewhere = np.random.default_rng(0).permutation(there)
    assert np.median(np.abs(photo - there)) < 0.9 * np.median(np.abs(photo - elsewhere))


def test_a_file_is_read_as_written_and_other_formats_are_refused(tmp_path: Path) -> None:
    pairs, path = small_pairs.damaged(0), path_of(tmp_path, "train", 7)
    write_pairs(path, pairs)
    found = read_pairs(path)
    assert all((getattr(found, name) == getattr(pairs, name)).all() for name in ("layers", "depth", "truth", "stage"))
    assert found.photos == pairs.photos and [one.name for one in tmp_path.iterdir()] == ["train-00007.npz"]
    with np.load(path) as file:
        np.savez_compressed(path, **{**file, "format": 99})
    with pytest.raises(ReconError, match="format 99"):
        read_pairs(path)
    with pytest.raises(ReconError, match="recon prior pairs"):
        load_folder(tmp_path, "val")


def test_a_part_of_the_scenes_has_its_share_of_validation() -> None:
    order = wanted(40, 10, 9)
    learnt = [number for split, number in order if split == "train"]
    assert sorted(learnt) == [*range(40), *range(LONG, LONG + 10)]
    assert sorted(number for split, number in order if split == "val") == [*range(4), *range(LONG, LONG + 5)]
    half = order[: len(order) // 2]
    assert 3 <= [split for split, _ in half].count("val") <= 6
    assert 3 <= sum(split == "train" and number >= LONG for split, number in half) <= 7


def test_batches_follow_from_seed_and_step_and_keep_pictures_together() -> None:
    pairs = [small_pairs.damaged(k) for k in range(3)]
    one, again, other = (draw(pairs, 4, 16, 5, step) for step in (1, 1, 2))
    assert (one[0] == again[0]).all() and (one[1] == again[1]).all() and (one[0] != other[0]).any()
    assert one[0].shape == (4, LAYERS, 16, 16) and one[1].shape == (4, 3, 16, 16)
    planes = np.concatenate([pairs[0].layers[0], pairs[0].truth[0]]).astype(np.float32) / 255
    changed = recolored(planes, np.random.default_rng(0))
    seen = planes[8] == 1
    assert (changed[5:8][:, seen] == changed[13:16][:, seen]).all() and (changed[8] == planes[8]).all()
    assert np.abs(changed - planes).max() > 0.05
