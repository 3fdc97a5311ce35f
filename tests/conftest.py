"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def recon_data() -> Path:
    """Folder of real captures; skips the test where it is absent."""
    folder = Path(os.environ.get("RECON_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "fox" / "transforms.json").is_file():
        pytest.skip(f"no photo collections at {folder}; set RECON_DATA to the folder that holds fox/, lego/, ...")
    return folder
