"""Splats and photos to a mesh: the course of the third stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from recon.config import config
from recon.errors import ReconError
from recon.geometry import triangles
from recon.mesh.bake import BakeConfig, bake
from recon.mesh.between import BetweenConfig
from recon.mesh.clean import compact, large_parts
from recon.mesh.field import FieldConfig, bounds, start_field
from recon.mesh.holes import fill_holes
from recon.mesh.parameters import CubeParameters
from recon.mesh.pieces import photo_pieces
from recon.mesh.refine import MEMORY, RefineConfig, ViewTarget, refine_levels, surface_colors
from recon.mesh.sections import parse_memory
from recon.mesh.simplify import simplify
from recon.mesh.slices import SliceConfig
from recon.mesh.space import Space
from recon.mesh.stereo import SettleConfig
from recon.mesh.unwrap import unwrap
from recon.mesh.views import SurfaceView
from recon.render.distance import nearest
from recon.render.mesh import NEAR
from recon.scene.nodes import Mesh

TEXTURED_FACES = 50_000
"""Most triangles of a textured mesh by default: unwrapping takes more than proportionally long."""
MOST_VOXELS = 256
"""Along the longest side of the box, when the resolution follows the photos."""


@config
class MeshConfig:
    """How a mesh is made of splats and photos."""

    resolution: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Voxels along the longest side of the box around what the photos show; by default as many as make a voxel two
    pixels large in most of the photos' area, and at most 256."""
    levels: Annotated[int, Field(ge=1, le=6)] = 2
    """The surface starts with voxels that are twice as large for each level after the first, and is refined on each."""
    init: Path | None = None
    """A mesh file, or a PLY of points, to start from in place of the splats' depths, in the capture's own coordinates.
    Any triangles will do, also open or crossing ones, and points with or without normals, as long as they lie about
    evenly; what the training cameras see of them is refined."""
    memory: str = MEMORY
    """Budget of the refinement, such as 512MB or 4GB. What does not fit is refined in sections, or not so finely."""
    min_part: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Pieces with less than this share of the area are taken for floating dirt and left out."""
    fill: Annotated[float, Field(ge=0)] = 24.0
    """Openings whose rim is not longer than this, in voxels, are closed; 0 leaves all open. What no photo shows is
    mostly larger."""
    faces: Annotated[int, Field(ge=4)] | None = None
    """Most triangles; by default 50,000 with a texture, and as many as there are with colours of vertices."""
    texture: Annotated[int, Field(ge=16, le=16384)] | None = 1024
    """Width and height of the texture, texels; nothing (null) gives colours of vertices."""
    unwrap_seconds: Annotated[float, Field(gt=0)] = 120.0
    """When unwrapping takes longer, the mesh gets colours of vertices, and the run says so."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    """The texture's colours."""
    stereo: SettleConfig = field(default_factory=SettleConfig)
    """Stereo that corrects the splats' depths before."""
    between: BetweenConfig = field(default_factory=BetweenConfig)
    """Renders of the splats that fill what no photo shows."""
    slices: SliceConfig = field(default_factory=SliceConfig)
    """Renders of the splats that look inside."""
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
    charts: int = 0
    """Pieces of the texture; 0 without one."""


Tick = Callable[[int, int, float], None]
"""Called with steps done, steps in all, and the loss."""


def build_mesh(views: Sequence[SurfaceView], config: MeshConfig, *, seed: int = 0, tick: Tick | None = None) -> Built:
    """The surface that `views` show, refined, in vertex colours.

    Renders stand in for photos (`rank` between 0 and 1), or only their depths and normals count (`rank` 0). Raises
    ReconError when views show no surface, and when the budget does not hold even the coarsest level.
    """
    photos = [view for view in views if view.rank == 1]
    cut_out = any(view.mask is not None for view in photos)
    space = Space.plain() if cut_out else Space.around_subject(photos)
    low, high = bounds(photos, space, config.start)
    longest = float((high - low).max())
    size = (
        longest / config.resolution if config.resolution else max(longest / MOST_VOXELS, pixel_size(photos, space) * 2)
    )
    if len(views) > len(photos):
        low, high = bounds(views, space, config.start)
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
    mesh = mesh_of(state, space, config.min_part, config.fill)
    budget = config.faces or (TEXTURED_FACES if config.texture else len(mesh.faces))
    mesh, charts = simplified(mesh, budget, space), 0
    if config.texture:
        mesh, charts = textured(mesh, views, config, space)
    return Built(mesh, state.grid.voxel_size, size, len(state.grid), charts)


def pixel_size(views: Sequence[SurfaceView], space: Space) -> float:
    """How large a pixel is at the surface, in the lattice's units: the median over all pixels with a depth."""
    sizes = [view.depth / view.K[0, 0] * space.shrinkage(view.points()) for view in views]
    return float(torch.cat([one[view.depth > 0] for one, view in zip(sizes, views, strict=True)]).median())


def simplified(mesh: Mesh, budget: int, space: Space) -> Mesh:
    """At most about `budget` triangles, spent as `space` spends voxels; colours are those of the nearest vertices."""
    if len(mesh.faces) <= budget:
        return mesh
    assert mesh.colors is not None
    vertices, faces = simplify(space.from_world(mesh.vertices), mesh.faces, budget)
    vertices = space.to_world(vertices)
    found = nearest(vertices, mesh.vertices, mesh.faces)
    colors = (found.barycentrics[..., None] * mesh.colors[mesh.faces[found.faces]]).sum(1)
    return Mesh(vertices, faces, vertex_normals(vertices, faces), colors=colors)


def textured(mesh: Mesh, views: Sequence[SurfaceView], config: MeshConfig, space: Space) -> tuple[Mesh, int]:
    """The mesh with a texture in place of colours, and its number of charts; as it is and 0 when unwrapping fails.

    Texels are spread as the photos' pixels, and over what no photo shows evenly in `space`.
    """
    assert config.texture is not None and mesh.colors is not None and mesh.normals is not None
    pieces = photo_pieces(mesh.vertices, mesh.faces, [view for view in views if view.rank > 0])
    charts = unwrap(space.from_world(mesh.vertices), mesh.faces, pieces, config.texture, config.unwrap_seconds)
    if charts is None:
        return mesh, 0
    rows = charts.rows
    cut = Mesh(mesh.vertices[rows], charts.faces, mesh.normals[rows], charts.uvs, mesh.colors[rows])
    texture = bake(cut, views, config.texture, config.bake).mul(255).round().byte().numpy()
    return replace(cut, colors=None, texture=texture), charts.charts


def target_of(view: SurfaceView, space: Space) -> ViewTarget:
    """What the refinement compares with."""
    counts = None if view.weight is None else view.confidence * view.weight
    return ViewTarget(
        view.world_to_camera, view.K, view.width, view.height, view.mask, view.depth, view.normal,
        view.photo if view.rank else None, view.confidence if counts is None else counts,
        space.shrinkage(view.points()), max(NEAR, view.near), view.weight,
    )  # fmt: skip


def mesh_of(state: CubeParameters, space: Space, min_part: float, fill: float) -> Mesh:
    """The surface in the world, without floating pieces and small openings, with colours and normals.

    Raises ReconError when there is none.
    """
    surface = state.surface()
    vertices = space.to_world(surface.vertices)
    faces = surface.faces[large_parts(vertices, surface.faces, min_part)]
    if not len(faces):
        raise ReconError(
            "a mesh", found="no surface after refinement", fix="set a lower mesh.resolution or use more photos"
        )
    rows, faces = compact(vertices, faces)
    colors = surface_colors(state.grid, surface, state.values["colors"])[rows].clamp(0, 1)
    places, faces, colors = fill_holes(surface.vertices[rows], faces, colors, fill * state.grid.voxel_size)
    vertices = space.to_world(places)
    return Mesh(vertices, faces, vertex_normals(vertices, faces), colors=colors)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """[V, 3] unit normals, means of the faces' by area; up where all cancel, so that every normal has unit length."""
    cross = triangles.crosses(vertices[faces])
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, faces[:, k], cross)
    length = total.norm(dim=1, keepdim=True)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(total)
    return torch.where(length > 1e-20, total / length.clamp(min=1e-20), up)
