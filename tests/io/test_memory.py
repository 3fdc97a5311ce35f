"""An import stays within twice the memory of its splats."""

from __future__ import annotations

import json
import math
from pathlib import Path

import asymmetric_scene
import pytest
import torch
import yaml

from recon.bench.imports import grown_mb
from recon.io.formats import FORMATS
from recon.scene import Node, Scene
from recon.scene.edit import with_sh_degree

COUNTS = {0: 600_000, 3: 250_000}
"""Splats by degree: 34 and 59 MB. The fewer numbers a splat has, the more a temporary copy of some weighs."""


def written(path: Path, kind: str, count: int, degree: int) -> Path:
    """A file of a format, or the folder of a run of nerfstudio."""
    splats = with_sh_degree(asymmetric_scene.splats(count), degree)
    path.mkdir()
    if kind != "run":
        file = path / FORMATS[kind].file
        FORMATS[kind].write(Scene(nodes=(Node("s", splats),)), file)
        return file
    params = splats.params
    stored = {
        "means": params["means"], "quats": params["quats"], "scales": params["log_scales"],
        "opacities": params["opacity_logits"][:, None], "features_dc": params["sh_coeffs"][:, 0].clone(),
        "features_rest": params["sh_coeffs"][:, 1:].clone(),
    }  # fmt: skip
    (path / "nerfstudio_models").mkdir()
    pipeline = {f"_model.gauss_params.{name}": value for name, value in stored.items()}
    torch.save({"step": 7, "pipeline": pipeline}, path / "nerfstudio_models" / "step-000000007.ckpt")
    (path / "config.yml").write_text(yaml.safe_dump({"data": None}))
    moved = {"transform": [[0.0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3]], "scale": 0.5}
    (path / "dataparser_transforms.json").write_text(json.dumps(moved))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "degree", "options"), [
    *((name, 0, ()) for name in ("ply", "compressed-ply", "spz", "spz4", "sog", "glb", "usd", "run")),
    *((name, 3, ()) for name in ("ply", "usd", "run")),
    ("splat", 0, ()),
    ("splat", 0, ("--axes", "x,-z,y")),
    ("ply", 3, ("--axes", "x,-z,y")),
    ("ply", 3, ("--drop-outliers", "2")),
])  # fmt: skip
def test_an_import_stays_within_twice_its_size(
    tmp_path: Path, kind: str, degree: int, options: tuple[str, ...]
) -> None:
    if "--drop-outliers" in options:
        pytest.importorskip("open3d", reason="pip install 'recon[open3d]'")
    files = [written(tmp_path / name, kind, count, degree) for name, count in (("a", 40), ("b", COUNTS[degree]))]
    size = COUNTS[degree] * 4 * (11 + 3 * (degree + 1) ** 2) / 1e6
    used = grown_mb(*files, tmp_path, options)
    if math.isnan(used):
        pytest.skip("no /proc/self/clear_refs, by which a process measures its own peak")
    print(f"{kind}, degree {degree}: {used / size:.2f} times")
    assert 0.5 * size < used < 2 * size
