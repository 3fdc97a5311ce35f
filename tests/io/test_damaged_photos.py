from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import capture_formats as formats
import numpy as np
import pytest
from capture_formats import make_shots
from PIL import Image

from recon.errors import ReconError
from recon.io.capture import read_capture
from recon.io.images import load_image
from recon.scene import Photo


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_damaged_photos_never_raise_anything_else(tmp_path: Path, suffix: str) -> None:
    shots = make_shots(2)
    formats.write_transforms(tmp_path, shots)
    view = read_capture(tmp_path).scene.views[0]
    path = tmp_path / f"a{suffix}"
    Image.fromarray(shots[0].pixels).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for position in rng.integers(0, len(content), 3):
            content[position] = rng.integers(0, 256)
        path.write_bytes(content[: rng.integers(1, len(content) + 1)])
        try:
            load_image(replace(view, photo=Photo(path)))
        except ReconError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 40
