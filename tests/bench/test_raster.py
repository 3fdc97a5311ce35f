"""`recon bench raster`: what it measures on, and that its numbers are of what it says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.bench import against
from recon.bench.raster import Options, main
from recon.bench.report import Report
from recon.bench.scenes import BenchScene, garden, trained_like
from recon.errors import ReconError
from recon.render.rasterize import rasterize

gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install -e '.[dev]'")


def test_tables_are_written_as_markdown_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(Options(width=40, height=30, repeats=1, families=("surfel",), out=tmp_path))
    found = json.loads((tmp_path / "raster.json").read_text())["tables"][0]
    assert found["columns"][-1] == "fwd + bwd / Gaussian"
    assert [row[0] for row in found["rows"]] == ["gaussian", "surfel"] and found["rows"][0][-1] == 1
    assert (tmp_path / "raster.md").read_text() == capsys.readouterr().out


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(ReconError, match="cube"):
        main(Options(families=("cube",)))


def test_without_a_gpu_gsplat_cannot_be_compared() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ReconError, match="no CUDA device"):
        main(Options(against="gsplat"))


def test_trained_like_gaussians_are_mostly_small_and_faint_and_fill_the_image() -> None:
    scene = trained_like(20_000, 160, 90)
    opacities = scene.params["opacity_logits"].sigmoid()
    assert 0.4 < float((opacities < 0.1).float().mean()) < 0.5
    assert 0.2 < float((opacities > 0.9).float().mean()) < 0.3
    render = rasterize(scene.params, scene.world_to_camera, scene.K, scene.width, scene.height)
    assert float(render.alpha.mean()) > 0.9
    radii = render.radii[render.radii > 0].float()
    assert float(radii.quantile(0.99) / radii.median()) > 5, "a few are large"


def test_garden_is_repeated_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECON_DATA", str(tmp_path))
    with pytest.raises(ReconError, match="garden"):
        garden(1, 64, 40)
    (tmp_path / "garden").mkdir()
    points = np.array([[0, 0, 0], [1, 1, 1], [5, 0, 0]], np.float32)
    np.savez(
        tmp_path / "garden" / "test_garden.npz", means3d=points, colors=np.full((3, 3), 255, np.uint8),
        viewmats=np.eye(4, dtype=np.float32)[None], Ks=np.diag([32.0, 32, 1]).astype(np.float32)[None],
        width=32, height=20,
    )  # fmt: skip
    scene = garden(3, 64, 40)
    means = scene.params["means"]
    assert len(means) == 2 * 9, "what is far off is left out"
    assert set(means[means[:, 2] == 0][:, 0].tolist()) == {-4.0, 0.0, 4.0}
    assert scene.K.diagonal().tolist() == [64.0, 64.0, 1.0]


class StandIn:
    """gsplat's interface on recon's rasteriser, which draws on a CPU."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(
        self, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor,
        Ks: Tensor, width: int, height: int, sh_degree: int, packed: bool,
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
        params = {"means": means, "quats": quats, "log_scales": scales.log(), "sh_coeffs": colors,
                  "opacity_logits": torch.logit(opacities)}  # fmt: skip
        render = rasterize(params, viewmats[0], Ks[0], width, height, sh_degree=sh_degree)
        radii = render.radii[None, :, None].expand(1, len(means), 2)
        return self.gain * render.color[None], render.alpha[None, ..., None], {"radii": radii}


@pytest.fixture
def scene() -> BenchScene:
    return trained_like(300, 40, 30)


@pytest.fixture(autouse=True)
def _engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """gsplat's selective Adam is a CUDA kernel."""
    monkeypatch.setattr(against, "GSPLAT", against.GSPLAT[:1])


def test_comparison_is_of_agreeing_pictures(scene: BenchScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsplat, "rasterization", StandIn())
    report = Report("here")
    against.against_gsplat(report, 2, [scene, dataclasses.replace(scene, name="again")], torch.device("cpu"))
    rows = report.tables[0]["rows"]
    assert [row[2] for row in rows] == ["recon", "gsplat, torch Adam", "best gsplat / recon"] * 2
    mine, theirs, ratio = (row[3:6] for row in rows[:3])
    for forward, _, iteration in (mine, theirs):  # between them a difference of two timings, of either sign under load
        assert forward > 0 and iteration > 0
    assert ratio == pytest.approx([b / a for a, b in zip(mine, theirs, strict=True)])


def test_pictures_that_differ_are_not_timed(scene: BenchScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsplat, "rasterization", StandIn(gain=1.2))
    with pytest.raises(ReconError, match="pictures differ"):
        against.against_gsplat(Report("here"), 1, [scene], torch.device("cpu"))
