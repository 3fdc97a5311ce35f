"""`recon bench reach`: looks at held-out photos while a run goes on, and does not count them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recon_datasets import make_capture

from recon.bench import reach
from recon.bench.reach import Options, main


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    capture = make_capture("sphere", tmp_path_factory.mktemp("ball"), views=8, width=64, height=48, samples=1)
    path = capture / "scene.yaml"
    path.write_text("images: .\nviews: {train: 3, file: splits.json}\noutput: out\n")
    return path


def test_it_says_when_the_held_out_photos_were_good_enough(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = iter([10.0, 15.0, 12.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(reach.Looks, "_psnr", lambda self, event: next(quality))
    short = ("splats.iterations=6", "splats.report_every=1", "poses.dense.method=none")
    main(Options((path,), psnr=14.0, every=2, set=short, out=tmp_path / "reach"))
    main(Options((path,), psnr=14.0, every=2, set=short, out=tmp_path / "never"))
    found, never = (
        json.loads((tmp_path / name / "reach.json").read_text())["tables"][0]["rows"][0] for name in ("reach", "never")
    )
    assert found[0] == "scene" and found[4] == 4, "iterations until the second of three looks"
    assert 0 < float(found[3]) <= float(found[5]) <= float(found[6])
    assert never[3:5] == ["not reached", ""]


def test_a_look_measures_what_the_run_will_say(path: Path, tmp_path: Path) -> None:
    short = ("splats.iterations=4", "splats.report_every=2", "poses.dense.method=none")
    config = reach.load_config(path, [*short, f"output={tmp_path / 'out'}"])
    looks = reach.Looks(config, 4)
    metrics = reach.run(config, listeners=[looks]).metrics
    assert [look.iteration for look in looks.found] == [4]
    # What is published is rounded for the file.
    assert looks.found[0].psnr == pytest.approx(metrics["test"]["psnr"], abs=0.01)
