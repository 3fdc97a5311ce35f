"""FlexiCubes fitted to a known surface: what the extractor can represent, and a start from a mesh."""

from __future__ import annotations

import math

from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.mesh.parameters import CubeParameters, surface_of
from recon.mesh.voxels import VoxelGrid
from recon.render.distance import nearest, sample_surface, signed_distance


@config
class FitConfig:
    """A fit by distances between samples, both ways."""

    iterations: int = 250
    """Steps of Adam."""
    samples: int = 30_000
    """Points a step on either surface."""
    learning_rate: float = 0.02
    """First rate, in voxels for the values; it falls to a twentieth along a cosine."""
    regularity: float = 0.05
    """Weight of FlexiCubes' deviation term, in voxels."""
    seed: int = 0
    """Of the sample points."""

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.samples < 1 or not self.learning_rate > 0:
            raise ReconError("fit", found=self, wanted="iterations >= 0, samples >= 1 and a positive learning rate")


def grid_around(vertices: Tensor, faces: Tensor, low: Tensor, voxel_size: float, resolution: int) -> VoxelGrid:
    """The voxels of a box of `resolution`^3 that a surface may cross, and one ring around them.

    vertices: [V, 3]; faces: [F, 3]; low: [3], the box's lowest corner. Found by halving boxes from 16^3 on.
    """
    size = resolution
    while size > 16 and size % 2 == 0:
        size //= 2
    grid = VoxelGrid.dense(size, low, voxel_size * resolution / size)
    while True:
        middles = grid.centers(vertices.dtype)
        away = (middles - nearest(middles, vertices, faces).points).norm(dim=1)
        grid = grid.select(away <= grid.voxel_size * 3**0.5 / 2 * 1.001)
        if size == resolution:
            return grid.dilate(1)
        grid, size = grid.subdivide(), 2 * size


def start_from_mesh(vertices: Tensor, faces: Tensor, low: Tensor, voxel_size: float, resolution: int) -> CubeParameters:
    """Exact signed distances of a closed mesh on the voxels around it."""
    grid = grid_around(vertices, faces, low, voxel_size, resolution)
    return CubeParameters.start(grid, signed_distance(grid.corner_positions(vertices.dtype), vertices, faces))


def fit_to_mesh(start: CubeParameters, vertices: Tensor, faces: Tensor, config: FitConfig) -> CubeParameters:
    """Move `start` so that its surface and the mesh lie on each other; returns `start`, changed.

    The loss is the mean distance of area-uniform samples, there and back, in voxels, with FlexiCubes' deviation.
    """
    grid = start.grid
    for step in range(config.iterations):
        leaves = start.leaves()
        # The last third moves the very triangles that are kept: across a sharp edge the other diagonal cuts a notch.
        surface = surface_of(grid, leaves, training=3 * step < 2 * config.iterations)
        if not len(surface.faces):
            raise ReconError("fit to a mesh", found="no surface left", fix="start from distances to the mesh")
        seed = config.seed + 2 * step
        points, _ = sample_surface(surface.vertices, surface.faces, config.samples, seed)
        there = (points - nearest(points, vertices, faces).points).norm(dim=1)
        truth, _ = sample_surface(vertices, faces, config.samples, seed + 1)
        back = (truth - nearest(truth, surface.vertices, surface.faces).points).norm(dim=1)
        loss = (there.mean() + back.mean() + config.regularity * surface.deviation.mean()) / grid.voxel_size
        loss.backward()  # type: ignore[no-untyped-call]
        rate = config.learning_rate * (0.05 + 0.475 * (1 + math.cos(math.pi * step / config.iterations)))
        start.step(leaves, dict.fromkeys(leaves, rate))
    return start
