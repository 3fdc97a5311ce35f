"""What the optimisation asks of a primitive family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field
from torch import Tensor

Rate = Annotated[float, Field(ge=0)]
"""A step size of Adam."""


@dataclass(frozen=True)
class Seeds:
    """Where primitives start, in world coordinates and scene units."""

    positions: Tensor
    """[N, 3] float32."""
    colors: Tensor
    """[N, 3] float32 in [0, 1], sRGB."""
    radii: Tensor
    """[N] float32, size of the first primitive at each place, > 0."""
    normals: Tensor
    """[N, 3] float32, unit length: the surface's where it is known, else towards the nearest camera."""
    depths: Tensor
    """[N] float32, distance to the nearest camera, scene units, > 0."""


class Family(Protocol):
    """Parameters, step sizes and rules for cloning of one kind of primitive. `AppearanceFamily` is a good base.

    To add one: write a class like `GaussianFamily` in a new file with a config class for its step sizes, and
    add a line for it to `FAMILIES` and to `SplatsConfig`. What the rasteriser draws is up to `rendered`.
    Every parameter is a float32 tensor with one row per primitive, stored before its activation. All methods
    work without recording gradients.
    """

    name: str
    opacity_parameter: str
    """Name of the parameter that holds opacities."""
    position_parameter: str
    """Name of the parameter that holds positions."""
    grow_gradient: float
    """Default of `GradientConfig.grow_gradient`."""

    def initial_parameters(self, seeds: Seeds, opacity: float, sh_degree: int) -> dict[str, Tensor]:
        """Parameters of one primitive per seed."""
        ...

    def learning_rates(self, extent: float, progress: float) -> Mapping[str, float | tuple[float, float]]:
        """Adam step size of every parameter. `progress` runs from 0 to 1, `extent` is the scene's, scene units.

        A pair is (first column, all others) of a parameter [N, K, ...], such as harmonics of band 0 and above.
        """
        ...

    def opacities(self, params: Mapping[str, Tensor]) -> Tensor:
        """[N] in (0, 1)."""
        ...

    def set_opacities(self, params: Mapping[str, Tensor], rows: Tensor | slice, values: Tensor) -> None:
        """Write opacities in (0, 1) to some rows, in place."""
        ...

    def faded(self, params: Mapping[str, Tensor], factors: Tensor) -> dict[str, Tensor]:
        """A copy of the parameters whose opacities are multiplied by `factors` [N] >= 0, with gradients."""
        ...

    def sizes(self, params: Mapping[str, Tensor]) -> Tensor:
        """[N], the standard deviation along each primitive's longest axis or what corresponds to it, scene units."""
        ...

    def split(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """A few smaller primitives for each of M `rows`: all first parts, then all second ones, and so on."""
        ...

    def shared(self, rows: Mapping[str, Tensor], copies: Tensor) -> dict[str, Tensor]:
        """`rows` changed such that `copies` [M] >= 1 of each, on top of one another, look like one did before."""
        ...

    def jitter(self, params: Mapping[str, Tensor], rows: Tensor, amounts: Tensor, generator: torch.Generator) -> None:
        """Move some rows at random within their own shape, in place: displacement = covariance x normal x amount."""
        ...

    def rendered(self, params: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
        """What is drawn, and stored in the end: the rasteriser's name of the family and parameters, with gradients."""
        ...

    def add_penalties(self, params: Mapping[str, Tensor], opacity: float, size: float) -> None:
        """Add to the gradients those of `opacity` x mean opacity + `size` x mean standard deviation."""
        ...


def take(params: Mapping[str, Tensor], rows: Tensor) -> dict[str, Any]:
    """Those rows of every parameter, by index or mask, detached."""
    return {name: value.detach()[rows] for name, value in params.items()}
