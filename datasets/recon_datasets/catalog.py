"""All scenes by name.

A new one is a function of the seed in `scenes.py`, `hard.py` or `varied.py` and a line in its table.
"""

from __future__ import annotations

from collections.abc import Callable

from recon_datasets.hard import HARD
from recon_datasets.scenes import PLAIN, SceneModel
from recon_datasets.varied import VARIED

SCENES: dict[str, Callable[[int], SceneModel]] = {**PLAIN, **HARD, **VARIED}
