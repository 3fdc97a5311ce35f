"""Splats that gsplat trained and wrote: opened, drawn as it draws them, written again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Cli
from gsplat_by_hand import composited
from photo_folder import HEIGHT, WIDTH
from PIL import Image
from torch import Tensor

from recon.io.capture import read_capture
from recon.io.images import load_image
from recon.io.ply import read_points, read_splats
from recon.scene import View

gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install -e '.[dev]'")
exporter = pytest.importorskip("gsplat.exporter")

HELD_OUT = "02.png"
RATES = {"means": 4e-3, "scales": 2e-2, "quats": 1e-2, "opacities": 5e-2, "sh0": 2e-2, "shN": 2e-3}
ITERATIONS = 60


@dataclass(frozen=True)
class Trained:
    """What gsplat's user has after training."""

    ply: Path
    compressed: Path
    splats: dict[str, Tensor]
    picture: Tensor
    """[H, W, 3], the held-out view as gsplat's formulas draw it, in [0, 1]."""
    psnr: float
    """Of that picture."""


def draw(splats: dict[str, Tensor], view: View) -> Tensor:
    given = {
        "means": splats["means"], "quats": splats["quats"], "log_scales": splats["scales"],
        "opacity_logits": splats["opacities"], "sh_coeffs": torch.cat([splats["sh0"], splats["shN"]], dim=1),
    }  # fmt: skip
    return composited(given, view.world_to_camera.float(), view.camera.K.float(), (WIDTH, HEIGHT))[0]


@pytest.fixture(scope="module")
def trained(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Gaussians at the capture's points, optimised by Adam as in gsplat's examples, written by its exporter."""
    views = read_capture(capture).scene.views
    photos = {view.name: torch.from_numpy(load_image(view).rgb) for view in views}
    points = read_points(capture / "points.ply")
    count = len(points.positions)
    start = {
        "means": points.positions, "scales": torch.full((count, 3), -2.2), "quats": torch.eye(4)[:1].repeat(count, 1),
        "opacities": torch.zeros(count), "sh0": (points.colors[:, None] - 0.5) / 0.2820948,
        "shN": torch.zeros(count, 15, 3),
    }  # fmt: skip
    splats = {name: value.clone().requires_grad_() for name, value in start.items()}
    adam = torch.optim.Adam([{"params": [splats[name]], "lr": rate} for name, rate in RATES.items()], eps=1e-15)
    training = [view for view in views if view.name != HELD_OUT]
    for iteration in range(ITERATIONS):
        view = training[iteration % len(training)]
        loss = (draw(splats, view) - photos[view.name]).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    done = {name: value.detach() for name, value in splats.items()}
    folder = tmp_path_factory.mktemp("gsplat")
    for name, form in (("splats.ply", "ply"), ("compressed.ply", "ply_compressed")):
        exporter.export_splats(**done, format=form, save_to=str(folder / name))
    picture = draw(done, next(view for view in views if view.name == HELD_OUT)).clamp(0, 1)
    return Trained(folder / "splats.ply", folder / "compressed.ply", done, picture, psnr(picture, photos[HELD_OUT]))


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10(((one - other) ** 2).mean()))


def test_it_opens_and_measures_what_gsplat_measures(
    trained: Trained, capture: Path, tmp_path: Path, recon: Cli
) -> None:
    out = tmp_path / "out"
    done = recon("import", trained.ply, "--out", out, "--images", capture, "--test", HELD_OUT, "--quiet")
    assert done.code == 0, done.err
    assert recon("eval", out, "--quiet").code == 0 and recon("render", out).code == 0
    measured = json.loads((out / "metrics.json").read_text())["test"]["psnr"]
    assert trained.psnr > 15, "it was trained"
    assert measured == pytest.approx(trained.psnr, abs=0.1)
    shown = torch.from_numpy(np.array(Image.open(out / "renders" / "test" / HELD_OUT))).float() / 255
    assert psnr(shown, trained.picture) > 50, "the same picture but for its 8 bits"


def test_it_is_written_again_as_it_was(trained: Trained, tmp_path: Path, recon: Cli) -> None:
    assert recon("import", trained.ply, "--out", tmp_path / "out", "--quiet").code == 0
    again = read_splats(Path(recon("export", tmp_path / "out").out.strip()))
    for ours, theirs in (("means", "means"), ("log_scales", "scales"), ("opacity_logits", "opacities")):
        torch.testing.assert_close(again[ours], trained.splats[theirs], atol=1e-5, rtol=1e-5)
    harmonics = torch.cat([trained.splats["sh0"], trained.splats["shN"]], dim=1)
    torch.testing.assert_close(again["sh_coeffs"], harmonics, atol=0, rtol=0)


def test_its_compressed_form_shows_the_same(trained: Trained, capture: Path, tmp_path: Path, recon: Cli) -> None:
    out = tmp_path / "out"
    assert (
        recon("import", trained.compressed, "--out", out, "--images", capture, "--test", HELD_OUT, "--quiet").code == 0
    )
    assert recon("eval", out, "--quiet").code == 0
    measured = json.loads((out / "metrics.json").read_text())["test"]["psnr"]
    assert measured == pytest.approx(trained.psnr, abs=0.1)
