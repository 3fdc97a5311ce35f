"""Points that come with a capture know its held-out photos."""

from __future__ import annotations

from pathlib import Path

import capture_formats as formats
import pytest

from recon.pipeline.config import load_config
from recon.pipeline.poses_stage import PosesStage


@pytest.mark.parametrize(
    ("train", "given", "kept"), [(2, "auto", False), (3, "auto", True), (2, "keep", True), (3, "replace", False)]
)
def test_they_are_kept_where_most_photos_train(tmp_path: Path, train: int, given: str, kept: bool) -> None:
    formats.write_colmap_binary(tmp_path, formats.make_shots(5))
    path = tmp_path / "scene.yaml"
    path.write_text(f"images: images\nviews: {{train: {train}, test: every-4}}\noutput: out\n")
    stage = PosesStage(load_config(path, [f"poses.triangulate.given={given}"]))
    assert (stage.capture.scene.points is not None) == kept
