"""`recon mask`, and a run with what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from command import Cli
from recon_datasets import make_capture


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return make_capture("sphere", tmp_path / "ball", views=6, width=96, height=72, samples=1)


def test_masks_take_part_in_a_run(recon: Cli, capture: Path, tmp_path: Path) -> None:
    boxes = {}
    for path in sorted((capture / "masks").glob("*.png")):
        y, x = np.nonzero(iio.imread(path) > 127)
        sides = [x.min() / 96 - 0.04, y.min() / 72 - 0.04, (x.max() + 1) / 96 + 0.04, (y.max() + 1) / 72 + 0.04]
        boxes[path.name] = [float(np.clip(side, 0, 1)) for side in sides]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    done = recon(
        "mask", capture, "--out", tmp_path / "cut", "--boxes", tmp_path / "boxes.json", "--show", tmp_path / "show"
    )
    assert done.code == 0 and "6 masks" in done.out, done.err
    for path in (capture / "masks").glob("*.png"):
        truth, found = iio.imread(path) > 127, iio.imread(tmp_path / "cut" / path.name) > 127
        assert (truth & found).sum() / (truth | found).sum() > 0.75, path.name
        shown, photo = iio.imread(tmp_path / "show" / path.name), iio.imread(capture / "images" / path.name)
        assert np.array_equal(shown[found], photo[found]) and (shown[~found] <= photo[~found] // 4).all()
    scene = tmp_path / "scene.yaml"
    scene.write_text(
        f"preset: object\nimages: {capture}\nmasks: cut\noutput: out\nviews: {{test: every-3}}\n"
        "poses: {dense: {method: none}}\nsplats: {iterations: 5}\n"
    )
    assert recon("run", scene, "--quiet").code == 0
    prepared = next((tmp_path / "out").glob("stages/10-poses-*/images/0001.png"))
    assert np.array_equal(iio.imread(prepared)[..., 3] > 127, iio.imread(tmp_path / "cut" / "0001.png") > 127)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "0.9", "0.1", "0.1", "0.9"], "left < right"),
        (["--boxes", "boxes.json"], "no such photo"),
        (["--boxes", "sides.json"], "[left, top, right, bottom]"),
        (["--out", "ball/images"], "own folder"),
    ],
)
def test_mistakes(
    recon: Cli, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boxes.json").write_text('{"nobody.png": [0, 0, 0.5, 0.5]}')
    (tmp_path / "sides.json").write_text('{"0000.png": [0, 0, 0.5]}')
    done = recon("mask", "ball/images", *(["--out", "cut"] if "--out" not in options else []), *options)
    assert done.code == 2 and message in done.err
    assert not list(tmp_path.glob("cut/*"))
