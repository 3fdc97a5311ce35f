"""The stock commands of nerfstudio on a small capture, in the environment that .ci/nerfstudio makes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import photo_folder
import pytest
import torch

from recon.cli.main import main
from recon.io.ply import read_splats
from recon.priors.small.network import NetworkConfig, Restorer
from recon.priors.small.weights import save_weights
from recon.scene.store import SceneStore

ENVIRONMENT = os.environ.get("RECON_NERFSTUDIO")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ENVIRONMENT is None, reason="run .ci/nerfstudio, which sets RECON_NERFSTUDIO"),
]
ITERATIONS, MORE = 40, 20
SETTINGS = ("--pipeline.model.settings", "splats.resolution.start_divisor=1", "splats.sh_degree=2")


def command(*argv: str | Path) -> str:
    """One command of nerfstudio through our launcher; its output."""
    assert ENVIRONMENT is not None
    program = Path(ENVIRONMENT).absolute() / "bin" / "recon"
    done = subprocess.run([str(program), *map(str, argv)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """capture/, the scene that `recon run` makes of it, and the run that ns-train makes of it."""
    folder = tmp_path_factory.mktemp("nerfstudio")
    photo_folder.write_capture(folder / "capture")
    scene = photo_folder.write_config(folder / "scene.yaml", ITERATIONS + MORE)
    sets = ["--set", "splats.resolution.start_divisor=1", "--set", "splats.sh_degree=2"]
    assert main(["run", str(scene), "--quiet", *sets]) == 0
    assert main(["export", str(folder / "out"), "--format", "nerfstudio", "--to", str(folder / "data")]) == 0
    # The export has the dense points; both start from the capture's own.
    (folder / "data" / "sparse_pc.ply").write_bytes((folder / "capture" / "points.ply").read_bytes())
    train(folder, "first", ITERATIONS)
    return folder


def train(folder: Path, name: str, iterations: int, *options: str | Path) -> None:
    command(
        "ns-train", "recon", "--data", folder / "data", "--vis", "tensorboard", "--machine.device-type", "cpu",
        "--max-num-iterations", str(iterations), "--output-dir", folder / "runs", "--experiment-name", "e",
        "--timestamp", name, *options, *SETTINGS, "nerfstudio-data",
    )  # fmt: skip


def run_of(folder: Path, name: str) -> Path:
    return folder / "runs" / "e" / "recon" / name


def psnr_of(folder: Path, name: str) -> float:
    command("ns-eval", "--load-config", run_of(folder, name) / "config.yml", "--output-path", folder / f"{name}.json")
    results = json.loads((folder / f"{name}.json").read_text())["results"]
    assert 0 < results["ssim"] < 1
    return float(results["psnr"])


def test_training_evaluates_like_recon_run_and_comes_back_as_a_scene(folder: Path) -> None:
    """`recon import` opens the run, finds its photos, and measures what ns-eval measures."""
    first = psnr_of(folder, "first")
    assert main(["import", str(run_of(folder, "first")), "--out", str(folder / "back"), "--quiet"]) == 0
    assert main(["eval", str(folder / "back"), "--quiet"]) == 0
    measured = json.loads((folder / "back" / "metrics.json").read_text())["test"]["psnr"]
    assert first == pytest.approx(measured, abs=0.02)


def test_a_run_goes_on_with_all_of_its_state(folder: Path) -> None:
    models = run_of(folder, "first") / "nerfstudio_models"
    train(folder, "second", MORE, "--load-dir", models)
    before, after = (
        torch.load(next(run_of(folder, name).glob("nerfstudio_models/*.ckpt")), weights_only=False)
        for name in ("first", "second")
    )
    states = [one["pipeline"]["_model._extra_state"] for one in (before, after)]
    assert [one["iteration"] for one in states] == [ITERATIONS, ITERATIONS + MORE]
    assert (
        states[0]["exp_avg"].keys() == states[1]["exp_avg"].keys() and float(states[1]["exp_avg_sq"]["means"].max()) > 0
    )
    # As far as a run of ours: the order of photos and the coordinates differ, hence not exactly.
    ours = json.loads((folder / "out" / "metrics.json").read_text())["test"]["psnr"]
    assert psnr_of(folder, "second") == pytest.approx(ours, abs=2.0)


PARTS = """
import json, sys
from pathlib import Path
from recon.plugins.launcher import declare_operators
declare_operators()
import torch
from recon.plugins.nerfstudio import recon

def trainer(models, *settings):
    config = recon.config
    config.pipeline.datamanager.data, config.output_dir = data, data.parent / "parts"
    config.experiment_name, config.vis = "e", "tensorboard"
    config.machine.device_type, config.max_num_iterations, config.load_dir = "cpu", 6, models
    config.timestamp, config.pipeline.model.settings = ("first" if models is None else "second"), settings
    made = config.setup(local_rank=0, world_size=1)
    made.setup()
    return made

data = Path(sys.argv[1])
made = trainer(None, *sys.argv[2:])
before = len(made.pipeline.model.loop.state)
made.train()
again = trainer(made.checkpoint_dir, *sys.argv[2:]).pipeline.model.loop
loop = made.pipeline.model.loop
print("PARTS", json.dumps({
    "start": before, "strategy": type(loop.strategy).__name__,
    "regularizers": [type(one).__name__ for one in loop.regularizers],
    "novel": len(loop.state.novel), "learnt": len(loop.state.learnt),
    "goes on": torch.equal(loop.state.novel.images, again.state.novel.images)
    and all(torch.equal(value, again.state.learnt[name]) for name, value in loop.state.learnt.items()),
}))
"""


def test_start_density_control_regularisers_and_priors_are_ours(folder: Path) -> None:
    """What the settings name is at work under nerfstudio's trainer, and what priors did is in its checkpoint."""
    save_weights(folder / "small.safetensors", Restorer(NetworkConfig(widths=(8, 12), blocks=1)), {})
    prior = f"{{name: repair-small, weights: {folder / 'small.safetensors'}, adapt: {{steps: 2, batch: 1, crop: 16}}}}"
    settings = [
        "poses.dense.method=stereo", "poses.dense.min_points=1", "splats.density.strategy=mcmc",
        "splats.dropout.rate=0.1", "splats.binocular.weight=0.1", f"splats.priors=[{prior}]",
        "splats.guidance={start: 0, every: 3, views: 2, min_known: 0, max_side: 32, pairs_per_photo: 1}",
    ]  # fmt: skip
    assert ENVIRONMENT is not None
    program = [str(Path(ENVIRONMENT).absolute() / "bin" / "python"), "-P", "-c", PARTS, str(folder / "data"), *settings]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    parts = json.loads(done.stdout.partition("PARTS ")[2].splitlines()[0])
    assert parts["start"] > 60, "more than the points of the capture: stereo added some"
    assert parts["strategy"] == "McmcStrategy"
    assert parts["regularizers"] == ["Dropout", "OpacityDecay", "Binocular"]
    assert parts["novel"] == 2 and parts["learnt"] > 0
    assert parts["goes on"]


def test_export_and_render(folder: Path) -> None:
    config = run_of(folder, "first") / "config.yml"
    command("ns-export", "gaussian-splat", "--load-config", config, "--output-dir", folder / "export")
    splats = read_splats(folder / "export" / "splat.ply")
    assert splats.sh_degree == 2 and len(splats) > 20
    command("ns-render", "dataset", "--load-config", config, "--split", "test", "--output-path", folder / "render",
            "--image-format", "png")  # fmt: skip
    from PIL import Image

    pixels = np.asarray(Image.open(folder / "render" / "test" / "rgb.png"))  # one picture needs no folder
    assert pixels.shape == (photo_folder.HEIGHT, photo_folder.WIDTH, 3) and pixels.std() > 10
    # The PLY with the run's transform lies where the run's own import lies.
    transform = str(run_of(folder, "first") / "dataparser_transforms.json")
    ply = ["import", str(folder / "export" / "splat.ply"), "--images", str(folder / "data"), "--transform", transform]
    assert main([*ply, "--out", str(folder / "ply"), "--quiet"]) == 0
    assert main(["import", str(run_of(folder, "first")), "--out", str(folder / "run"), "--quiet"]) == 0
    one, other = (SceneStore(folder / name).load().splats for name in ("ply", "run"))
    assert one is not None and other is not None
    torch.testing.assert_close(one["means"], other["means"], atol=1e-5, rtol=1e-5)
