"""Splats and photos to a mesh: the course of the third stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field

from recon.config import config
from recon.errors import ReconError
from recon.mesh.clean import compact, large_parts
from recon.mesh.field import FieldConfig, bounds, start_field
from recon.mesh.parameters import CubeParameters
from recon.mesh.refine import MEMORY, RefineConfig, ViewTarget, refine_levels, surface_colors
from recon.mesh.sections import parse_memory
from recon.mesh.space import Space
from recon.mesh.views import SurfaceView
from recon.scene.nodes import Mesh


@config
class MeshConfig:
    """How a mesh is made of splats and photos."""

    resolution: Annotated[int, Field(ge=8, le=4096)] = 256
    """Voxels along the longest side of the box around what the photos show."""
    levels: Annotated[int, Field(ge=1, le=6)] = 2
    """The surface starts with voxels that are twice as large for each level after the first, and is refined on each."""
    memory: str = MEMORY
    """Budget of the refinement, such as 512MB or 4GB. What does not fit is refined in sections, or not so finely."""
    min_part: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Pieces with less than this share of the area are taken for floating dirt and left out."""
    start: FieldConfig = field(default_factory=FieldConfig)
    """The surface that the refinement starts at."""
    refine: RefineConfig = field(default_factory=RefineConfig)
    """The refinement's losses."""

    def __post_init__(self) -> None:
        parse_memory(self.memory)


@dataclass(frozen=True)
class Built:
    """A mesh and what is worth telling about it."""

    mesh: Mesh
    """World, vertex colours and normals."""
    voxel_size: float
    """Of the finest level that was reached, near the photos' subject, scene units."""
    wanted_voxel_size: float
    """What `resolution` asks for; smaller when the budget ended the refinement early."""
    voxels: int
    """Of the finest level."""


Tick = Callable[[int, int, float], None]
"""Called with steps done, steps in all, and the loss."""


def build_mesh(views: Sequence[SurfaceView], config: MeshConfig, *, seed: int = 0, tick: Tick | None = None) -> Built:
    """The surface that `views` show, refined, in vertex colours.

    Raises ReconError when they show none, and when the budget does not hold even the coarsest level.
    """
    cut_out = any(view.mask is not None for view in views)
    space = Space.plain() if cut_out else Space.around_subject(views)
    low, high = bounds(views, space, config.start)
    size = float((high - low).max()) / config.resolution
    start = start_field(views, space, low, high, size * 2 ** (config.levels - 1), config.start)
    total = config.levels * config.refine.iterations
    state = refine_levels(
        start,
        [target_of(view, space) for view in views],
        config.refine,
        size,
        memory=config.memory,
        space=space,
        seed=seed,
        progress=None if tick is None else lambda step, loss: tick(step, total, loss),
    )
    return Built(mesh_of(state, space, config.min_part), state.grid.voxel_size, size, len(state.grid))


def target_of(view: SurfaceView, space: Space) -> ViewTarget:
    """What the refinement compares with."""
    counts = None if view.weight is None else view.confidence * view.weight
    return ViewTarget(
        view.world_to_camera, view.K, view.width, view.height, view.mask, view.depth, view.normal, view.photo,
        view.confidence if counts is None else counts, space.shrinkage(view.points()),
    )  # fmt: skip


def mesh_of(state: CubeParameters, space: Space, min_part: float) -> Mesh:
    """The surface in the world, without floating pieces, with colours and normals. Raises ReconError for none."""
    surface = state.surface()
    vertices = space.to_world(surface.vertices)
    faces = surface.faces[large_parts(vertices, surface.faces, min_part)]
    if not len(faces):
        raise ReconError("a mesh", found="no surface after refinement", fix="lower mesh.resolution or use more photos")
    rows, faces = compact(vertices, faces)
    colors = surface_colors(state.grid, surface, state.values["colors"])[rows].clamp(0, 1)
    return Mesh(vertices[rows], faces, vertex_normals(vertices[rows], faces), colors=colors)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """[V, 3] unit normals, means of the faces' by area; up where all cancel, so that every normal has unit length."""
    corners = vertices[faces]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, faces[:, k], cross)
    length = total.norm(dim=1, keepdim=True)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(total)
    return torch.where(length > 1e-20, total / length.clamp(min=1e-20), up)
