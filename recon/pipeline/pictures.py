"""Pictures of splats that came without photos, taken for photos: a mesh is made of splats and photos."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recon.evaluate.renderer import SplatRenderer
from recon.io.decode import write_png
from recon.io.formats import FORMATS
from recon.pipeline.importing import Source, views_around
from recon.render.device import choose_device
from recon.scene import Photo, Scene, Splats

FOLDER = "pictures"
_LOWEST, _HIGHEST = -10.0, 60.0
"""Elevations, degrees: most scenes stand on something."""


def take_pictures(out: Path, source: Source, count: int, up: Sequence[float]) -> Path:
    """Render `count` views of the splats from all around into `out`/pictures, a nerfstudio data folder, and return it.

    The pictures are transparent where nothing is. The same splats give the same pictures.
    """
    low, high = (math.sin(math.radians(angle)) for angle in (_LOWEST, _HIGHEST))
    heights = [low + (high - low) * (index + 0.5) / count for index in range(count)]
    places = [(360 * index * (math.sqrt(5) - 1) / 2, math.degrees(math.asin(height)))
              for index, height in enumerate(heights)]  # fmt: skip
    device, _ = choose_device("auto")
    splats = Splats(source.splats.family, {name: value.to(device) for name, value in source.splats.params.items()})
    renderer = SplatRenderer(splats, torch.zeros(3), coverage=False, antialias=source.antialias)
    folder = out / FOLDER
    if folder.is_dir():
        shutil.rmtree(folder)  # of an earlier import: nobody else writes there
    with tempfile.TemporaryDirectory(prefix="recon-pictures-") as temporary:
        views = []
        for view in views_around(source.splats, up, places):
            drawn = renderer.drawn(view)
            # As they look before black: alpha says how much a pixel counts, not what lies behind it.
            pixels = torch.cat([drawn.color, drawn.alpha[..., None]], dim=2) * 255
            path = Path(temporary) / f"{view.name}.png"
            write_png(path, np.rint(pixels.numpy()).astype(np.uint8))
            views.append(replace(view, photo=Photo(path)))
        FORMATS["nerfstudio"].write(Scene(tuple(views)), folder)
    return folder
