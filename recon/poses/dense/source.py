"""What a source of dense points is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recon.io.images import Image
from recon.scene.nodes import Points, View


@dataclass(frozen=True)
class DenseInput:
    """What the poses stage knows when it asks for dense points."""

    views: Sequence[View]
    """Training views with undistorted photos."""
    images: Sequence[Image]
    """Their photos."""
    points: Points | None
    """Sparse points, if there are any."""
    seed: int
    """Every random choice follows from it."""
    progress: Callable[[int, int], None]
    """Called with what is done and what there is to do."""
    warn: Callable[[str], None] = print
    """Called with what the user should know."""
    cut_out: bool = True
    """Whether photos with alpha came with it: the transparent rim that undistortion leaves is no outline."""


class DenseSource(Protocol):
    """A way to get a dense start for the splats out of photos with cameras.

    To add one: write a config class and a class like `StereoSource` in a new file, add a member to `DenseConfig` and a
    line to `make_source`.
    """

    def points(self, given: DenseInput) -> Points:
        """Coloured points with normals and scales, in the order and number that `given` alone decides."""
        ...
