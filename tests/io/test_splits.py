"""Which views train and which are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.io.splits import assign_splits, spread
from recon.scene import Scene, View
from recon.scene.nodes import Split


def scene_of(count: int, own_test: int = 0) -> Scene:
    camera = Camera.pinhole(4, 3, 5.0)
    names: list[tuple[str, Split]] = [(f"r_{i}.png", "train") for i in range(count)]
    names += [(f"test/r_{i}.png", "test") for i in range(own_test)]
    return Scene(tuple(View(name, camera, torch.eye(4), split=split) for name, split in names))


def names_of(scene: Scene, split: Split) -> list[str]:
    return [view.name for view in scene.split(split)]


def test_nothing_asked_leaves_the_captures_own_split() -> None:
    scene = assign_splits(scene_of(3, own_test=2))
    assert names_of(scene, "train") == ["r_0.png", "r_1.png", "r_2.png"]
    assert names_of(scene, "test") == ["test/r_0.png", "test/r_1.png"]


def test_every_8_counts_in_natural_order_from_the_first() -> None:
    scene = assign_splits(scene_of(20), test="every-8")
    assert names_of(scene, "test") == ["r_0.png", "r_8.png", "r_16.png"]
    assert len(scene.split("train")) == 17


def test_every_n_thins_the_captures_own_test_views() -> None:
    scene = assign_splits(scene_of(10, own_test=9), test="every-4")
    assert names_of(scene, "test") == ["test/r_0.png", "test/r_4.png", "test/r_8.png"]
    assert len(scene.split("train")) == 10


def test_a_number_of_training_views_is_spread_over_what_is_left() -> None:
    scene = assign_splits(scene_of(20), train=3, test="every-8")
    assert names_of(scene, "train") == ["r_1.png", "r_10.png", "r_19.png"]
    assert len(scene.views) == 6  # the others are dropped
    assert spread(1, 5) == [0] and spread(5, 5) == [0, 1, 2, 3, 4]


def test_names(tmp_path: Path) -> None:
    scene = assign_splits(scene_of(5), train=("r_4.png", "r_2.png"), test=["r_0.png"])
    assert [(view.name, view.split) for view in scene.views] == [
        ("r_0.png", "test"),
        ("r_2.png", "train"),
        ("r_4.png", "train"),
    ]


def test_split_file(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"test": ["r_3.png"], "train": {"2": ["r_0.png", "r_1.png"]}}))
    scene = assign_splits(scene_of(5), train=2, split_file=path)
    assert (names_of(scene, "train"), names_of(scene, "test")) == (["r_0.png", "r_1.png"], ["r_3.png"])
    assert names_of(assign_splits(scene_of(5), train=3, split_file=path), "train") == ["r_0.png", "r_2.png", "r_4.png"]
    assert len(assign_splits(scene_of(5), split_file=path).split("train")) == 4
    path.write_text(json.dumps({"test": ["r_3.png"], "train": ["r_0.png"]}))
    assert names_of(assign_splits(scene_of(5), split_file=path), "train") == ["r_0.png"]


@pytest.mark.parametrize(
    ("arguments", "file", "parts"),
    [
        ({"test": ["r_9.png"]}, None, ["views.test", "r_9.png", "such as r_"]),
        ({"train": ["R_3.png"]}, None, ["views.train", "R_3.png", "such as r_3.png"]),
        ({"test": "every-0"}, None, ["views.test", "every-0", "every-8"]),
        ({"train": 6}, None, ["views.train", "found 6", "between 1 and 5"]),
        ({"train": 0}, None, ["views.train", "found 0"]),
        ({"train": ["r_1.png"], "test": ["r_1.png"]}, None, ["both splits", "r_1.png"]),
        ({"test": "every-1"}, None, ["no training views", "5 of 5", "every-8"]),
        ({"train": []}, None, ["no training views"]),
        ({}, '{"test": ["gone.png"]}', ["splits.json: test", "gone.png", "add its photo"]),
        ({"train": 2}, '{"train": {"2": "r_1.png"}}', ["splits.json: train.2", "list of photo names"]),
        ({}, '{"test": [1]}', ["splits.json: test", "[1]"]),
        ({}, '{"test": [', ["splits.json", "line 1", "JSON"]),
        ({}, "[]", ["splits.json", "not a JSON object"]),
    ],
)
def test_mistakes(tmp_path: Path, arguments: dict[str, object], file: str | None, parts: list[str]) -> None:
    if file is not None:
        (tmp_path / "splits.json").write_text(file)
        arguments = arguments | {"split_file": tmp_path / "splits.json"}
    with pytest.raises(ReconError) as raised:
        assign_splits(scene_of(5), **arguments)  # type: ignore[arg-type]
    for part in parts:
        assert part in str(raised.value)


def test_a_split_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReconError, match=r"none\.json: cannot be read: found No such file"):
        assign_splits(scene_of(5), split_file=tmp_path / "none.json")
