"""Photos of known shapes: what the cameras see, and that the photos are of the shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_distance import CUBE, FACES

from recon.bench.surface import HELD_OUT, eyes, load_shape, photograph, visible
from recon.errors import ReconError
from recon.io.decode import decode_photo


def test_the_sides_of_a_cube_that_one_camera_sees() -> None:
    shape = (CUBE - 0.5, FACES)
    points = visible(shape, [np.array([2.0, 0.0, 0.0])])
    assert len(points) > 5000 and bool((points[:, 0] - 0.5).abs().lt(1e-6).all()), "one side alone"
    assert len(visible(shape, eyes(6))) > 50_000, "cameras all around see nearly everything"


def test_photos_are_of_the_shape(tmp_path: Path) -> None:
    photograph((CUBE * 0.8 - 0.4, FACES), 2, tmp_path)
    pixels, _ = decode_photo(tmp_path / "images" / "train00.png")
    alpha = pixels[..., 3]
    # A cube of 0.8 at distance 2.2 covers between a tenth and a half of the photo.
    assert pixels.shape == (256, 256, 4) and 0.1 < (alpha > 127).mean() < 0.5
    assert alpha[128, 128] == 255 and alpha[0, 0] == 0
    assert len(np.unique(alpha)) == 5, "four rays a pixel"
    splits = json.loads((tmp_path / "splits.json").read_text())
    assert len(splits["train"]["2"]) == 2 and len(splits["test"]) == HELD_OUT


def test_the_sheet_and_what_is_no_file() -> None:
    vertices, faces = load_shape(Path("sheet"))
    assert float((vertices.amax(0) - vertices.amin(0)).max()) == pytest.approx(1)
    assert torch.isfinite(vertices).all() and len(faces) > 100
    with pytest.raises(ReconError, match="no such mesh"):
        load_shape(Path("nothing.obj"))
