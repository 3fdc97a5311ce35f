"""What an optimisation moves: values and weights on a sparse lattice, whole or section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon.mesh.flexicubes import Surface, extract
from recon.mesh.voxels import VoxelGrid
from recon.render.adam import adam_step

PER_CORNER = ("sdf", "deform", "colors")
"""Parameters with a row per corner of the lattice; the others have one per voxel."""


@dataclass(frozen=True)
class Section:
    """Part of a lattice, to be optimised while the rest stays as it is."""

    grid: VoxelGrid
    """Its voxels."""
    voxels: Tensor
    """[M'] int64: their rows in the whole grid."""
    corners: Tensor
    """[K'] int64: rows of their corners in the whole grid."""
    core: Tensor
    """[M'] bool: voxels that are compared; the others are a ring around them."""


def section(grid: VoxelGrid, keep: Tensor, core: Tensor) -> Section:
    """The voxels of `grid` where `keep` [M] bool holds; core: [M] bool, those that are no ring."""
    part = grid.select(keep)
    corners = torch.empty(len(part.corners), dtype=torch.int64)
    voxels = keep.nonzero()[:, 0]
    corners[part.voxel_corners.long().reshape(-1)] = grid.voxel_corners[voxels].long().reshape(-1)
    return Section(part, voxels, corners, core[keep])


@dataclass
class CubeParameters:
    """Values on a lattice with their Adam moments. sdf is in voxels: one learning rate fits every size."""

    grid: VoxelGrid
    """The whole lattice."""
    values: dict[str, Tensor]
    """sdf [K], deform [K, 3], alpha [M, 8], beta [M, 12], gamma [M], and colors [K, 3] where there are photos."""
    moments: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """First and second moments by name, made at the first step."""
    steps: int = 0
    """Steps taken on this lattice."""

    @staticmethod
    def start(grid: VoxelGrid, sdf: Tensor, colors: Tensor | None = None) -> CubeParameters:
        """From signed distances [K], scene units, and colours [K, 3] where photos will be compared; weights neutral."""
        m, k, dtype = len(grid), len(grid.corners), sdf.dtype
        values = {
            "sdf": sdf / grid.voxel_size, "deform": sdf.new_zeros(k, 3), "alpha": torch.zeros(m, 8, dtype=dtype),
            "beta": torch.zeros(m, 12, dtype=dtype), "gamma": torch.zeros(m, dtype=dtype),
        }  # fmt: skip
        if colors is not None:
            values["colors"] = colors.clone()
        return CubeParameters(grid, values)

    def leaves(self, part: Section | None = None) -> dict[str, Tensor]:
        """The values, or a section's copies of them, as leaves that collect gradients."""
        return {name: self._rows(name, value, part).requires_grad_() for name, value in self.values.items()}

    def step(self, leaves: Mapping[str, Tensor], rates: Mapping[str, float], part: Section | None = None) -> None:
        """One step of Adam with a learning rate per name, on the leaves' rows only: the others keep values and moments.

        Names without a rate or a gradient stay.
        """
        self.steps += 1
        for name, leaf in leaves.items():
            if leaf.grad is None or name not in rates:
                continue
            value = self.values[name]
            if name not in self.moments:
                self.moments[name] = (torch.zeros_like(value), torch.zeros_like(value))
            moved = leaf.detach()
            moments = [self._rows(name, moment, part) for moment in self.moments[name]]
            gradient = torch.nan_to_num(leaf.grad)
            adam_step(moved, gradient, *moments, step=self.steps, lr=rates[name], beta2=0.99, eps=1e-12)
            if part is None:
                self.values[name] = moved
                continue
            rows = part.corners if name in PER_CORNER else part.voxels
            for whole, changed in zip((value, *self.moments[name]), (moved, *moments), strict=True):
                whole[rows] = changed

    def _rows(self, name: str, value: Tensor, part: Section | None) -> Tensor:
        if part is None:
            return value.detach()
        return value.detach()[part.corners if name in PER_CORNER else part.voxels]

    def surface(self) -> Surface:
        """The present mesh, two triangles a quad."""
        return surface_of(self.grid, self.values, training=False)

    def subdivided(self, rings: int = 1) -> CubeParameters:
        """On voxels of half the size: those with surface and `rings` around them, weights neutral again.

        Corners keep the surface's place: values are trilinear, deformation goes into neither.
        """
        grid, sdf = self.grid, self.values["sdf"]
        fine = grid.select(crossed(grid, sdf)).subdivide()
        fine = fine.select(crossed(fine, grid.sample(sdf, fine))).dilate(rings)
        fine = fine.select(grid.find(torch.div(fine.coords, 2, rounding_mode="floor")) >= 0)
        colors = self.values.get("colors")
        finer = None if colors is None else grid.sample(colors, fine)
        return CubeParameters.start(fine, grid.sample(sdf, fine) * grid.voxel_size, finer)


def crossed(grid: VoxelGrid, sdf: Tensor) -> Tensor:
    """[M] bool: voxels with corners of both signs."""
    inside = (sdf < 0)[grid.voxel_corners]
    return inside.any(1) & ~inside.all(1)


def surface_of(grid: VoxelGrid, values: Mapping[str, Tensor], *, training: bool) -> Surface:
    """The mesh of parameters on `grid`."""
    names = ("deform", "alpha", "beta", "gamma")
    return extract(grid, values["sdf"] * grid.voxel_size, training=training, **{name: values[name] for name in names})
