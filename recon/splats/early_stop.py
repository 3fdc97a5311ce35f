"""When to stop, by photos that are left out of runs before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from recon.config import config
from recon.io.splits import spread
from recon.scene.scene import Scene

if TYPE_CHECKING:
    from recon.splats.loop import Loop  # which loads the native core
    from recon.splats.photos import TrainingPhoto


@config
class EarlyStopConfig:
    """Stop where training photos that were left out of other runs looked best. Held-out photos have no say; but the
    dense points that those runs start at were made with all training photos."""

    runs: Annotated[int, Field(ge=0)] = 0
    """Whole runs before the actual one, each without another training photo; 0 makes all iterations."""
    every: Annotated[int, Field(ge=1)] = 100
    """Iterations between two looks at the photo that is left out."""


def best_iteration(
    scene: Scene, settings: EarlyStopConfig, iterations: int, start: Callable[[Scene], Loop],
    photo_of: Callable[[str], TrainingPhoto],
) -> int:  # fmt: skip
    """After how many of `iterations` photos that are left out in turn are shown best, by their mean PSNR.

    start: begins a run of so many iterations on a scene.   photo_of: a photo of full size by the name of its view.
    Photos in the middle of the order are left out first: what lies beyond all others says little. With two training
    photos nothing can be left out, so all iterations are made.
    """
    views = scene.split("train")
    marks = range(settings.every, iterations + 1, settings.every)
    if len(views) < 3 or not marks:
        return iterations
    left_out = [views[position].name for position in spread(min(settings.runs, len(views) - 2) + 2, len(views))[1:-1]]
    decibels = torch.zeros(len(marks), dtype=torch.float64)
    for name in left_out:
        loop = start(replace(scene, views=tuple(view for view in scene.views if view.name != name)))
        photo = photo_of(name)
        for number, mark in enumerate(marks):
            while loop.state.iteration < mark:
                loop.iterate(measure=False)
            decibels[number] -= 10 * torch.log10(torch.tensor(loop.error(photo), dtype=torch.float64).clamp_min(1e-10))
    return marks[int(decibels.argmax())]
