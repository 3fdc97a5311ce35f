"""The whole chain through the command line, on a capture of six small photos."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photo_folder
import pytest
import torch
import trimesh
from command import Cli
from PIL import Image

from recon.cli import progress
from recon.events import Event, Listener
from recon.events import Progress as ProgressEvent
from recon.io.ply import read_splats, write_points
from recon.scene import Points, Splats
from recon.scene.store import SceneStore


def at_iteration(iteration: int, act: Callable[[], object]) -> Listener:
    """A listener that does something once the optimisation is at `iteration`."""

    def listen(event: Event) -> None:
        if isinstance(event, ProgressEvent) and event.stage == "splats" and event.iteration == iteration:
            act()

    return listen


def assert_same(a: Splats | None, b: Splats | None) -> None:
    assert a is not None and b is not None
    for name, value in a.params.items():
        torch.testing.assert_close(b[name], value, rtol=0, atol=0)


def stage_folders(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "stages").iterdir())


def test_run_leaves_scene_metrics_report_renders_and_exports(finished: Path) -> None:
    out = finished / "out"
    scene = SceneStore(out).load()
    assert [view.name for view in scene.split("test")] == ["02.png"]
    assert len(scene.split("train")) == photo_folder.VIEWS - 1
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["test"]["views"]) == {"02.png"}
    # The mean over one view is that view.
    assert metrics["test"]["psnr"] == pytest.approx(metrics["test"]["views"]["02.png"]["psnr"])
    assert 0 < metrics["train"]["ssim"] <= 1
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["splats"]["iterations"] == 24
    assert [stage["stage"] for stage in run["stages"]] == ["poses", "splats", "evaluation"]
    assert all(stage["seconds"] >= 0 and stage["peak_memory_mb"] > 10 for stage in run["stages"])
    assert {"python", "torch", "numpy"} <= set(run["versions"])
    page = (out / "report.html").read_text()
    assert "02.png" in page
    # Self-contained: nothing is loaded from anywhere.
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    splats = read_splats(out / "exports" / "splats.ply")
    assert scene.splats is not None
    torch.testing.assert_close(splats["means"], scene.splats["means"], rtol=0, atol=0)


def test_the_published_render_is_what_the_metrics_measured(finished: Path) -> None:
    out = finished / "out"
    rendered = np.asarray(Image.open(out / "renders" / "test" / "02.png"), np.float64) / 255
    photo = np.asarray(Image.open(finished / "capture" / "images" / "02.png"), np.float64)[..., :3] / 255
    psnr = -10 * np.log10(((rendered - photo) ** 2).mean())
    metrics = json.loads((out / "metrics.json").read_text())
    # The PNG rounds to 1/255, far below the error of the render.
    assert psnr == pytest.approx(metrics["test"]["psnr"], abs=0.05)


def test_optimising_longer_fits_the_photos_better(work: Path, recon: Cli, finished: Path) -> None:
    short = json.loads((finished / "out" / "metrics.json").read_text())["train"]["psnr"]
    assert recon("run", work / "scene.yaml", "--set", "splats.iterations=120", "--quiet").code == 0
    assert json.loads((work / "out" / "metrics.json").read_text())["train"]["psnr"] > short + 1


def test_second_run_makes_nothing_again(finished: Path, recon: Cli) -> None:
    before = stage_folders(finished / "out")
    outcome = recon("run", finished / "scene.yaml")
    assert outcome.code == 0
    assert outcome.err.count("(reused)") == 2
    assert stage_folders(finished / "out") == before


def test_a_reused_stage_still_shows_its_warnings_in_the_report(work: Path, recon: Cli) -> None:
    (work / "capture" / "images" / "05.png").unlink()
    for _ in range(2):
        assert recon("run", work / "scene.yaml").code == 0
        warnings = json.loads((work / "out" / "run.json").read_text())["warnings"]
        assert any("05.png" in warning for warning in warnings)


def test_changed_splats_keep_the_poses(finished: Path, recon: Cli) -> None:
    before = stage_folders(finished / "out")
    assert recon("run", finished / "scene.yaml", "--set", "splats.iterations=8").err.count("(reused)") == 1
    new = set(stage_folders(finished / "out")) - set(before)
    assert len(new) == 1
    assert "splats" in new.pop()


def test_a_changed_photo_is_noticed(finished: Path, recon: Cli) -> None:
    photo = finished / "capture" / "images" / "01.png"
    pixels = np.array(Image.open(photo))
    pixels[:8, :8] = 255
    Image.fromarray(pixels).save(photo)
    assert "(reused)" not in recon("run", finished / "scene.yaml").err


def test_force_makes_everything_again_with_the_same_result(finished: Path, recon: Cli) -> None:
    before = SceneStore(finished / "out").load().splats
    assert "(reused)" not in recon("run", finished / "scene.yaml", "--force").err
    after = SceneStore(finished / "out").load().splats
    assert_same(before, after)


def test_until_poses_makes_no_splats(work: Path, recon: Cli) -> None:
    assert recon("run", work / "scene.yaml", "--until", "poses").code == 0
    scene = SceneStore(work / "out").load()
    assert scene.splats is None
    assert scene.points is not None
    assert not (work / "out" / "metrics.json").exists()
    outcome = recon("render", work / "out")
    assert outcome.code == 2
    assert "no splats" in outcome.err


def test_interrupted_run_publishes_and_resumes_bit_for_bit(
    work: Path, finished: Path, recon: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(progress, "_Lines", lambda: at_iteration(12, lambda: os.kill(os.getpid(), signal.SIGINT)))
        outcome = recon("run", work / "scene.yaml")
    assert outcome.code == 130
    assert "--resume" in outcome.err
    stopped = SceneStore(work / "out").load()
    assert stopped.splats is not None
    assert json.loads((work / "out" / "run.json").read_text())["interrupted"] is True
    assert (work / "out" / "report.html").is_file()

    outcome = recon("run", work / "scene.yaml", "--resume")
    assert outcome.code == 0
    assert outcome.err.count("(reused)") == 1
    resumed, straight = (SceneStore(folder / "out").load().splats for folder in (work, finished))
    assert_same(resumed, straight)
    assert not list((work / "out" / "checkpoints").iterdir())


def test_a_run_that_died_resumes_from_its_checkpoint_bit_for_bit(
    work: Path, finished: Path, recon: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(progress, "_Lines", lambda: at_iteration(20, die))  # the last checkpoint is of 16
        with pytest.raises(RuntimeError, match="power cut"):
            recon("run", work / "scene.yaml")
    assert SceneStore(work / "out").load().splats is None
    outcome = recon("run", work / "scene.yaml", "--resume")
    assert outcome.code == 0
    assert "no checkpoint" not in outcome.err
    assert_same(*(SceneStore(folder / "out").load().splats for folder in (work, finished)))


def test_a_checkpoint_that_is_not_asked_for_is_mentioned(
    finished: Path, recon: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = recon("run", finished / "scene.yaml", "--set", "splats.iterations=10", "--resume")
    assert "no checkpoint to resume from" in outcome.err
    with monkeypatch.context() as patch:
        patch.setattr(progress, "_Lines", lambda: at_iteration(8, lambda: os.kill(os.getpid(), signal.SIGINT)))
        assert recon("run", finished / "scene.yaml", "--set", "splats.iterations=16").code == 130
    outcome = recon("run", finished / "scene.yaml", "--set", "splats.iterations=16")
    assert outcome.code == 0
    assert "--resume would continue" in outcome.err


def test_no_held_out_views_is_said_and_the_report_shows_training_views(work: Path, recon: Cli) -> None:
    (work / "scene.yaml").write_text("images: capture\noutput: out\nsplats: {iterations: 4}\n")
    outcome = recon("run", work / "scene.yaml")
    assert outcome.code == 0
    assert "no view is held out" in outcome.err
    assert "test" not in json.loads((work / "out" / "metrics.json").read_text())
    assert "Training views" in (work / "out" / "report.html").read_text()
    outcome = recon("render", work / "out", "--views", "test")
    assert outcome.code == 2
    assert "no test views" in outcome.err


def test_eval_gives_the_same_metrics_again(finished: Path, recon: Cli) -> None:
    path = finished / "out" / "metrics.json"
    before = json.loads(path.read_text())
    path.unlink()
    outcome = recon("eval", finished / "out")
    assert outcome.code == 0
    assert f"{before['test']['psnr']:.2f} dB" in outcome.out
    assert json.loads(path.read_text()) == before


def test_render_views_and_paths(finished: Path, recon: Cli) -> None:
    out = finished / "out"
    assert recon("render", out, "--views", "train", "--scale", "0.5").code == 0
    pictures = sorted((out / "renders" / "train").glob("*.png"))
    assert len(pictures) == photo_folder.VIEWS - 1
    assert Image.open(pictures[0]).size == (photo_folder.WIDTH // 2, photo_folder.HEIGHT // 2)
    assert recon("render", out, "--path", "orbit", "--frames", "6").code == 0
    assert (out / "renders" / "orbit.mp4").read_bytes()[4:8] == b"ftyp"
    assert recon("render", out, "--path", "between", "--frames", "5", "--to", finished / "frames").code == 0
    assert len(list((finished / "frames").glob("*.png"))) == 5


def test_export_info_and_doctor(finished: Path, recon: Cli) -> None:
    out = finished / "out"
    assert recon("export", out, "--to", finished / "x.ply").code == 0
    assert (finished / "x.ply").read_bytes() == (out / "exports" / "splats.ply").read_bytes()
    described = recon("info", out / "scene.gltf").out
    assert "5 training, 1 held out; 64x48 px" in described
    assert "PSNR" in described
    outcome = recon("doctor")
    assert outcome.code == 0
    assert "SIMD" in outcome.out
    assert "torch" in outcome.out


def test_help_is_quick_and_does_not_load_torch() -> None:
    code = "import sys\nfrom recon.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    result = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert result.stdout.rstrip().endswith("False")
    for command in ("run", "eval", "render", "export", "import", "info", "doctor", "bench"):
        assert command in result.stdout


def test_until_mesh_makes_a_mesh_node_and_a_glb(finished: Path, tmp_path: Path, recon: Cli) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished, work)
    settings = ["--set", "mesh.resolution=24", "--set", "mesh.refine.iterations=2"]
    assert recon("run", work / "scene.yaml", "--until", "mesh", *settings).code == 0
    out = work / "out"
    scene = SceneStore(out).load()
    assert scene.mesh is not None and scene.splats is not None
    assert [record.stage for record in scene.provenance] == ["poses", "splats", "mesh"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mesh"]["triangles"] == len(scene.mesh.faces)
    assert set(metrics["mesh"]["test"]["views"]) == {"02.png"}
    assert "mesh, held out" in (out / "report.html").read_text()
    loaded = trimesh.load(out / "exports" / "mesh.glb", force="mesh", process=False)
    assert len(loaded.faces) == len(scene.mesh.faces)
    for name in ("obj", "stl", "ply-mesh", "mesh"):
        path = work / f"a.{ {'mesh': 'glb', 'ply-mesh': 'ply'}.get(name, name) }"
        assert recon("export", out, "--format", name, "--to", path).code == 0
        assert len(trimesh.load(path, force="mesh", process=False).faces) == len(scene.mesh.faces)
    low, middle, high = (scene.mesh.vertices.quantile(share, dim=0).tolist() for share in (0, 0.5, 1))
    half = ("--crop", *low, middle[0], *high[1:])
    assert recon("export", out, "--format", "ply-mesh", "--to", work / "half.ply", *half).code == 0
    cropped = trimesh.load(work / "half.ply", force="mesh", process=False)
    assert 0 < len(cropped.faces) < len(scene.mesh.faces) and cropped.vertices[:, 0].max() <= middle[0]
    nothing = recon("export", out, "--format", "obj", "--crop", *low, *(x + 1e-6 for x in low))
    assert nothing.code == 2 and "is left" in nothing.err
    for name in ("obj", "points", "colmap"):
        pointless = recon("export", out, "--format", name, "--sh-degree", 0, "--min-opacity", 0.1)
        assert pointless.code == 2 and f"found --format {name}, which has none" in pointless.err
    # The mesh may start another one; a file that is none is told.
    again = [*settings, "--set", f"mesh.init={work / 'a.ply'}", "--set", "mesh.texture=null"]
    assert recon("run", work / "scene.yaml", "--until", "mesh", *again).code == 0
    fresh = SceneStore(out).load().mesh
    assert fresh is not None and fresh.texture is None and fresh.colors is not None
    # So may points on it.
    write_points(work / "points.ply", Points(fresh.vertices, fresh.colors))
    points = [*again[:-3], f"mesh.init={work / 'points.ply'}", *again[-2:]]
    assert recon("run", work / "scene.yaml", "--until", "mesh", *points).code == 0
    (work / "b.ply").write_text("nothing")
    wrong = recon("run", work / "scene.yaml", "--until", "mesh", "--set", f"mesh.init={work / 'b.ply'}")
    assert wrong.code == 2 and "b.ply" in wrong.err
    # A section in the file means the same as --until mesh: the work is done already.
    assert recon("run", work / "scene.yaml", *settings).code == 0
    assert len(SceneStore(out).load().provenance) == 3
