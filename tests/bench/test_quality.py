"""`recon bench quality`: a table from a tiny capture, taken up again where it stopped, and its choice of photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recon_datasets import make_capture

from recon.bench import quality
from recon.bench.quality import Options, main, unused
from recon.bench.truth import Truth, geometry
from recon.bench.variants import EXTRAS, PIECES, base_of, ladder, overrides_of
from recon.errors import ReconError
from recon.pipeline.config import load_config
from recon.pipeline.run import RunResult
from recon.scene import Node, Scene, Splats, View
from recon.scene.nodes import Camera

SHORT = ("splats.iterations=4", "poses.dense.method=none")


@pytest.fixture
def scene_file(tmp_path: Path) -> Path:
    capture = make_capture("sphere", tmp_path / "ball", views=8, width=64, height=48, samples=1)
    path = capture / "scene.yaml"
    path.write_text("images: .\nviews: {train: 3, file: splits.json}\noutput: out\n")
    return path


def test_rows_are_kept_and_not_run_again(
    scene_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quality"
    variants = ("+ dropout", "+ opacity decay", "cap: splats.sh_degree=0")
    options = Options((scene_file,), variants=variants, seeds=2, set=SHORT, out=out)
    main(options)
    tables = json.loads((out / "quality.json").read_text())["tables"]
    assert [row[:3] for row in tables[0]["rows"]] == [
        ["ball", 3, name] for name in ("+ dropout", "+ opacity decay", "cap")
    ]
    assert [row[2:4] for row in tables[1]["rows"]] == [
        ["+ opacity decay", "+ dropout"],
        ["cap", "+ opacity decay"],
    ]
    assert all("±" in row[3] for row in tables[0]["rows"]) and all(float(row[10]) <= 1 for row in tables[0]["rows"])
    assert len(list((out / "worst").glob("ball-3-*.png"))) == 3
    lines = (out / "rows.jsonl").read_text().splitlines()
    assert len(lines) == 6

    # As if the machine had gone down within a line: what is whole is not run again.
    (out / "rows.jsonl").write_text("\n".join([*lines[:5], lines[5][:30]]) + "\n")
    again, real = [], quality.fresh_run
    monkeypatch.setattr(quality, "fresh_run", lambda *a: again.append(a[1]) or real(*a))
    capsys.readouterr()
    main(options)
    assert len(again) == 1 and "seed=1" in again[0]
    assert json.loads((out / "quality.json").read_text())["tables"][1] == tables[1]


def test_settings_are_judged_on_photos_that_are_not_held_out(scene_file: Path) -> None:
    config = load_config(scene_file)
    splits = json.loads((scene_file.parent / "splits.json").read_text())
    train = splits["train"]["3"]
    ((same, free),) = unused(config, train, splits["test"])
    assert same == train and free and not {*free} & {*train, *splits["test"]}
    # With every photo in a split, training photos are left out in turn.
    everyone = sorted({*train, *free})
    folds = unused(config, everyone, splits["test"])
    assert sorted(name for _, left in folds for name in left) == sorted(everyone)
    assert all(not {*some} & {*left} and len(some) + len(left) == len(everyone) for some, left in folds)
    with pytest.raises(ReconError, match="no photo to judge by"):
        unused(config, everyone[:2], [*everyone[2:], *splits["test"]])


def test_the_ladder_adds_one_piece_at_a_time() -> None:
    steps = ladder()
    counts = [len(overrides) for overrides in steps.values()]
    assert counts == list(range(len(PIECES), -1, -1)) and overrides_of(list(steps)[-1]) == ()
    assert [base_of(name) for name in steps] == [None, *list(steps)[:-1]]
    assert base_of("binocular") == base_of("mine: a=1") == list(steps)[-1]
    assert overrides_of("mine: a.b={c: 1, d: [2, 3]} e=4") == ("a.b={c: 1, d: [2, 3]}", "e=4")
    with pytest.raises(ReconError, match="binoculars"):
        overrides_of("binoculars")


def test_every_variant_is_made_of_settings_that_exist(scene_file: Path) -> None:
    default = load_config(scene_file).splats
    for name in (*list(ladder())[:-1], *EXTRAS):
        config = load_config(scene_file, overrides_of(name))
        assert config.splats != default or config.poses.dense.method == "none", name


def test_what_floats_is_what_is_far_from_the_surface(tmp_path: Path) -> None:
    """A wall of primitives at depth 2, as the truth says, and as many at depth 1 before a part of it."""
    truth = Truth(
        tmp_path, torch.tensor([[-9.0, -9, 2], [9, -9, 2], [9, 9, 2], [-9, 9, 2]]), torch.tensor([[0, 1, 2], [0, 2, 3]])
    )
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40), indexing="ij")
    wall = torch.stack([x.flatten(), y.flatten(), torch.full((1600,), 2.0)], -1)
    near = wall[wall[:, 0] < 0] * torch.tensor([0.5, 0.5, 0.5])
    means = torch.cat([wall, near])
    params = {
        "means": means, "quats": torch.tensor([1.0, 0, 0, 0]).repeat(len(means), 1),
        "log_scales": (0.02 * means[:, 2:]).log().repeat(1, 3), "opacity_logits": torch.full((len(means),), 6.0),
        "sh_coeffs": torch.zeros(len(means), 1, 3),
    }  # fmt: skip
    views = tuple(
        View(f"{k}", Camera.pinhole(64, 64, 80.0), torch.eye(4, dtype=torch.float64) + shift)
        for k, shift in enumerate((torch.zeros(4, 4), torch.tensor([[0, 0, 0, 1.0], *[[0.0] * 4] * 3])))
    )
    scene = Scene(views).with_node(Node("splats", Splats("gaussian", params), kind="scene"))
    found = geometry(scene, truth, views[:1])
    assert found["floating"] == pytest.approx(1 / 3, abs=0.01)
    assert found["haze"] == pytest.approx(0.5, abs=0.035), "half of the picture shows what is too near"
    assert "depth" not in found, "there is no depth map of this view"
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "0.npy", np.full((64, 64), 2.0, np.float32))
    # Two of the 64 columns lie where the wall and what is before it overlap.
    assert geometry(scene, truth, views[:1])["depth"] == pytest.approx(0.5, abs=0.035)


def test_a_run_that_was_stopped_is_no_row(scene_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = RunResult(Scene(), {"test": {"psnr": 9.0}}, interrupted=True)
    monkeypatch.setattr("recon.bench.runs.run", lambda *args, **more: stopped)
    with pytest.raises(KeyboardInterrupt):
        main(Options((scene_file,), variants=("+ dropout",), seeds=1, set=SHORT, out=tmp_path / "quality"))
    assert not (tmp_path / "quality" / "rows.jsonl").exists()
