"""`recon bench viewer` end to end, on little."""

from __future__ import annotations

import json
from pathlib import Path

import photo_folder
import pytest
from family_room import Served

from recon.bench.chromium import browser_path
from recon.cli.main import main

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.skipif(browser_path() is None, reason="no Chromium here; install it or set RECON_CHROMIUM")
def test_the_page_and_a_watched_training_are_measured(served: Served, tmp_path: Path) -> None:
    photo_folder.write_capture(tmp_path / "capture")
    scene = photo_folder.write_config(tmp_path / "scene.yaml")
    argv = ["bench", "viewer", "--splats", "300", "--frames", "2", "--pairs", "1", "--iterations", "30"]
    argv += ["--scene", str(scene), "--runs", str(served.folder)]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    tables = json.loads((tmp_path / "viewer.json").read_text())["tables"]
    page, picture, training, size = (table["rows"][0] for table in tables)
    assert page[0] == 300 and 0 < page[1] <= page[2] and page[3] > 0
    assert picture[:4] == ["room", "convex", "convex", "photo 0.png"] and picture[4] > 35
    assert len(list((tmp_path / "pictures").glob("room-*.png"))) == 4, "two training views of splats and mesh"
    assert training[1] > 0 and training[2] > 0
    assert 0.5 < size[0] <= 1.5, "docs/viewer.md says how large the page is"
