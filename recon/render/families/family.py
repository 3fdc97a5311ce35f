"""What the rasteriser must know about a family besides its native kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from recon.render.families.appearance import Appearance, PinholeView


@dataclass(frozen=True)
class RenderFamily:
    """Names, shapes and abilities of one kind of primitive."""

    name: str
    parameters: Mapping[str, tuple[int | None, ...]]
    """Names of the parameter tensors besides `sh_coeffs`, in the core's order, with the shape of a row. None stands for
    the number of points that a primitive has, from 3 to the last of `native_points`."""
    native: str
    """Name of the core's kernels; for families made of points the template with `{}` for the room they have."""
    appearance: Callable[[Mapping[str, Tensor], PinholeView], Appearance]
    """The plain-torch twin."""
    native_points: tuple[int, ...] = ()
    """Numbers of points that there are kernels for."""
    antialias: bool = False
    """Whether opacities can be compensated for the widening of thin footprints (`RasterConfig.antialias`)."""
    pixel_depth: bool = False
    """Whether depth varies over a footprint; else it is that of the primitive's centre."""

    @property
    def positions(self) -> str:
        """Name of the parameter that says where primitives are: [N, 3] or [N, points, 3]."""
        return next(iter(self.parameters))

    def check(self, params: Mapping[str, Tensor]) -> int:
        """The number of primitives. Raises ValueError for a tensor that is missing or has the wrong shape."""
        missing = [name for name in (*self.parameters, "sh_coeffs") if name not in params]
        if missing:
            raise ValueError(f"{self.name}: no {missing[0]!r}; expected {', '.join((*self.parameters, 'sh_coeffs'))}")
        count = params[self.positions].shape[0] if params[self.positions].ndim else 0
        for name, row in self.parameters.items():
            found = tuple(params[name].shape)
            fits = len(found) == 1 + len(row) and found[0] == count
            for size, expected in zip(found[1:], row, strict=False):
                fits &= size == expected if expected is not None else 3 <= size <= max(self.native_points)
            if not fits:
                wanted = [str(count), *(f"3..{max(self.native_points)}" if n is None else str(n) for n in row)]
                raise ValueError(f"{name} is {found}; expected [{', '.join(wanted)}]")
        return count

    def points(self, params: Mapping[str, Tensor]) -> int:
        """Points per primitive, 0 for families that are not made of points."""
        return params[self.positions].shape[1] if self.native_points else 0

    def kernel(self, points: int) -> str:
        """Name of the core's kernels for primitives of so many points."""
        return self.native.format(next((room for room in self.native_points if room >= points), ""))
