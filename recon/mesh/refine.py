"""Refinement of a surface by comparing renders with photos, masks, depths and normals.

Losses after Shen et al. 2023 (antialiased mask L1, depth, sign and deviation regularisers), with the splats' depth and
normals as further targets. Coarse to fine: `CubeParameters.subdivided` between levels. Where the whole lattice with its
gradients does not fit the budget, a step takes the section of it that its cameras see (see `sections`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from recon.config import config
from recon.errors import ReconError
from recon.geometry import triangles
from recon.mesh.flexicubes import Surface, sign_loss
from recon.mesh.parameters import CubeParameters, Section, surface_of
from recon.mesh.sections import choose_section, fits, has_room, inner_faces
from recon.mesh.space import Space
from recon.mesh.voxels import CORNERS, VoxelGrid
from recon.render.image_loss import l1_ssim
from recon.render.mesh import NEAR, Fragments, antialias, interpolate, opposite_vertices, rasterize_mesh

MEMORY = "4GB"
"""Default budget of a refinement."""


@dataclass(frozen=True)
class ViewTarget:
    """What one camera should see. At least one of mask, depth, normal and photo is there."""

    world_to_camera: Tensor
    """[4, 4], OpenCV axes, scene units."""
    K: Tensor
    """[3, 3], px."""
    width: int
    """px."""
    height: int
    """px."""
    mask: Tensor | None = None
    """[H, W] in [0, 1], how much of a pixel the surface covers."""
    depth: Tensor | None = None
    """[H, W], scene units along the optical axis, 0 where unknown."""
    normal: Tensor | None = None
    """[H, W, 3], world, unit length, towards the camera; 0 where unknown."""
    photo: Tensor | None = None
    """[H, W, 3] in [0, 1], sRGB; compared where the mask is set, everywhere without one."""
    confidence: Tensor | None = None
    """[H, W] in [0, 1], the trust in depth and normal; 1 everywhere without one."""
    closeness: Tensor | None = None
    """[H, W] factors of differences of depth; 1 everywhere without. Far things may be less exact."""
    near: float = NEAR
    """Near plane, scene units. A larger one cuts the surface open: depths behind it then show the inside."""
    weight: Tensor | None = None
    """[H, W] in [0, 1], how much the photo's pixels count; 1 everywhere without one."""


@config
class RefineConfig:
    """Weights of the losses; lengths count in units of half the lattice's extent, as in FlexiCubes' paper."""

    iterations: int = 40
    """Steps on each level."""
    views_per_step: int = 4
    """Cameras that are compared in one step."""
    learning_rate: float = 0.03
    """First rate of Adam, in voxels for the values; it falls to a tenth along a cosine."""
    color_rate: float = 0.02
    """Rate of the colours, where there are photos."""
    mask: float = 1.0
    """Weight of the mean absolute difference of masks."""
    depth: float = 1.0
    """Weight of the depths' mean difference. Those of splats trained on few photos are off by a voxel and more; exact
    ones deserve 10."""
    normal: float = 0.1
    """Weight of one minus the cosine between normals."""
    photo: float = 2.0
    """Weight of L1 and SSIM between photo and coloured surface."""
    sign: float = 0.2
    """Weight of the sign regulariser; it falls to a twentieth over the first quarter."""
    deviation: float = 0.25
    """Weight of FlexiCubes' deviation term."""
    weights: float = 0.1
    """Weight of the mean size of alpha and beta."""

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.views_per_step < 1 or not self.learning_rate > 0:
            raise ReconError(
                "mesh.refine", found=self, wanted="iterations >= 0, views_per_step >= 1, a positive learning_rate"
            )


Progress = Callable[[int, float], None]
"""Called after each step with its number from 1 and the loss."""


def refine(
    start: CubeParameters,
    targets: Sequence[ViewTarget],
    config: RefineConfig,
    *,
    memory: str = MEMORY,
    space: Space | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CubeParameters:
    """Move `start` towards what the targets show; returns it, changed.

    memory: budget for the lattice with gradients, optimiser and mesh; a lattice beyond it is refined in sections.
    space: what the lattice lives in, the plain world by default.   seed: of the order of views.

    Raises ReconError without targets, with targets of no size or not finite, and when nothing is left of the surface.
    """
    _check(targets)
    space = space or Space.plain()
    rng = torch.Generator().manual_seed(seed)
    whole = fits(start, memory)
    queue: list[int] = []
    for step in range(config.iterations):
        while len(queue) < config.views_per_step:
            queue += torch.randperm(len(targets), generator=rng).tolist()
        chosen = [targets[queue.pop(0)] for _ in range(min(config.views_per_step, len(targets)))]
        part = None
        if not whole:
            # A section is what one camera sees.
            chosen = chosen[:1]
            camera = (chosen[0].world_to_camera, chosen[0].K)
            part = choose_section(start, *camera, _size(chosen[0]), memory, space)
            if not len(part.grid):
                continue
        loss = _step(start, part, chosen, config, step / config.iterations, space)
        if progress:
            progress(step + 1, loss)
    return start


def refine_levels(
    start: CubeParameters,
    targets: Sequence[ViewTarget],
    config: RefineConfig,
    voxel_size: float,
    *,
    memory: str = MEMORY,
    space: Space | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CubeParameters:
    """Refine `start`, then halve its voxels, drop those away from the surface, and refine again, down to `voxel_size`.

    A level that the budget cannot hold even asleep ends the descent: the finest level that fits is returned. `progress`
    counts steps over all levels.
    """
    state = refine(start, targets, config, memory=memory, space=space, seed=seed, progress=progress)
    level = 1
    while state.grid.voxel_size > voxel_size * 1.001:
        finer = state.subdivided()
        if not fits(finer, memory) and not has_room(finer, memory):
            break
        before = level * config.iterations
        shifted = None if progress is None else _shifted(progress, before)
        state = refine(finer, targets, config, memory=memory, space=space, seed=seed, progress=shifted)
        level += 1
    return state


def _shifted(progress: Progress, before: int) -> Progress:
    return lambda step, loss: progress(before + step, loss)


def _step(
    start: CubeParameters,
    part: Section | None,
    chosen: Sequence[ViewTarget],
    config: RefineConfig,
    done: float,
    space: Space,
) -> float:
    """One step on `part`, or on all, at the share `done` of the way. Returns the loss."""
    grid = start.grid if part is None else part.grid
    unit = _unit(start.grid)
    leaves = start.leaves(part)
    surface = surface_of(grid, leaves, training=True)
    if not len(surface.faces):
        if part is not None:
            return 0.0  # the camera sees only what has no surface
        raise ReconError(
            "mesh refinement", found="no surface left", fix="check masks and depths, or lower mesh.refine.learning_rate"
        )
    colors = None
    if "colors" in leaves and any(target.photo is not None for target in chosen):
        colors = surface_colors(grid, surface, leaves["colors"])
    inner = None if part is None else inner_faces(part, surface)
    loss = _regularity(grid, surface, leaves, config, done, unit)
    surface = replace(surface, vertices=space.to_world(surface.vertices))
    opposite = None
    if any(target.mask is not None for target in chosen):
        opposite = opposite_vertices(surface.faces, len(surface.vertices))
    for target in chosen:
        loss = loss + compare(surface, opposite, colors, target, config, unit, inner) / len(chosen)
    loss.backward()  # type: ignore[no-untyped-call]
    fall = 0.1 + 0.45 * (1 + math.cos(math.pi * done))
    rates = dict.fromkeys(leaves, config.learning_rate * fall) | {"colors": config.color_rate}
    start.step(leaves, rates, part)
    return float(loss.detach())


def surface_colors(grid: VoxelGrid, surface: Surface, colors: Tensor) -> Tensor:
    """Colours of a surface's vertices, [V, 3], from those of the lattice, [K, 3].

    Trilinear in a dual vertex's own voxel; in training a quad's centre has the mean of its four.
    """
    voxels = surface.voxels
    duals = surface.vertices[: len(voxels)].detach()
    place = ((duals - grid.origin.to(duals.dtype)) / grid.voxel_size - grid.coords[voxels]).clamp(0, 1)
    around = grid.voxel_corners[voxels].long()
    found = sum(
        (offset * place + (1 - offset) * (1 - place)).prod(1, keepdim=True) * colors[around[:, k]]
        for k, offset in enumerate(CORNERS.to(duals.dtype))
    )
    assert isinstance(found, Tensor)
    if len(surface.vertices) == len(voxels):
        return found
    return torch.cat([found, found[surface.faces.reshape(-1, 4, 3)[:, :, 0].long()].mean(1)])


def compare(
    surface: Surface,
    opposite: Tensor | None,
    colors: Tensor | None,
    target: ViewTarget,
    config: RefineConfig,
    unit: float,
    inner: Tensor | None = None,
) -> Tensor:
    """The losses of one view, a scalar.

    opposite: `opposite_vertices` of the faces, which masks need.   inner: [F] bool, the faces that may be compared, all
    without it.
    """
    camera = (target.world_to_camera, target.K)
    fragments = rasterize_mesh(surface.vertices, surface.faces, *camera, *_size(target), near=target.near)
    counted = torch.ones(target.height, target.width, dtype=surface.vertices.dtype)
    if inner is not None and len(inner):
        # Compared faces, and the empty pixels beside them, which silhouettes move into.
        seen = (inner[fragments.face_ids.clamp(min=0).long()] & fragments.mask).to(counted.dtype)
        counted = torch.where(fragments.mask, seen, max_pool2d(seen[None], 3, stride=1, padding=1)[0])
    loss = _geometry(surface, fragments, target, config, unit, counted)
    if target.mask is not None:
        covered = fragments.mask.to(counted.dtype)[..., None]
        smooth = antialias(covered, fragments, surface.vertices, surface.faces, *camera, opposite)[..., 0]
        loss = loss + config.mask * ((smooth - target.mask).abs() * counted).sum() / counted.sum().clamp(min=1)
    if target.photo is not None and colors is not None:
        shared = counted * fragments.mask
        for given in (target.mask, target.weight):
            shared = shared if given is None else shared * given
        render = interpolate(colors, surface.faces, fragments)
        loss = loss + config.photo * l1_ssim(render, target.photo, shared + 1e-6)
    return loss


def _geometry(
    surface: Surface, fragments: Fragments, target: ViewTarget, config: RefineConfig, unit: float, counted: Tensor
) -> Tensor:
    """Depth and normal terms over the pixels where surface and target are both there."""
    loss = surface.vertices.new_zeros(())
    trust = counted * fragments.mask
    if target.confidence is not None:
        trust = trust * target.confidence
    if target.depth is not None:
        known = trust * (target.depth > 0)
        away = (fragments.depth - target.depth) / unit
        if target.closeness is not None:
            away = away * target.closeness
        # Squared near zero, then straight: a wrong target, or a pixel that sees another layer, cannot pull without end.
        robust = torch.where(away.abs() < 0.01, 50 * away.square(), away.abs() - 0.005)
        loss = loss + config.depth * (robust * known).sum() / known.sum().clamp(min=1)
    if target.normal is not None:
        known = trust * (target.normal.square().sum(-1) > 0.25)
        seen = known > 0  # of far more faces than pixels most are never looked at
        corners = surface.vertices[surface.faces[fragments.face_ids[seen].long()].long()]
        away = 1 - (triangles.normals(corners) * target.normal[seen]).sum(-1)
        loss = loss + config.normal * (away * known[seen]).sum() / known.sum().clamp(min=1)
    return loss


def _regularity(
    grid: VoxelGrid, surface: Surface, leaves: Mapping[str, Tensor], config: RefineConfig, done: float, unit: float
) -> Tensor:
    sign = config.sign * max(0.05, 1 - 0.95 * 4 * done)
    loss = config.deviation * surface.deviation.mean() / unit
    loss = loss + sign * sign_loss(grid, leaves["sdf"], scale=1.0) * grid.voxel_size / unit
    return loss + config.weights * grid.voxel_size / unit * (leaves["alpha"].abs().mean() + leaves["beta"].abs().mean())


def _unit(grid: VoxelGrid) -> float:
    """Half the lattice's extent, scene units."""
    return float((grid.corners.amax(0) - grid.corners.amin(0)).max()) * grid.voxel_size / 2


def _size(target: ViewTarget) -> tuple[int, int]:
    return target.width, target.height


def _check(targets: Sequence[ViewTarget]) -> None:
    if not targets:
        raise ReconError("mesh refinement", found="no views", wanted="at least one with a mask, depth, normal or photo")
    for number, target in enumerate(targets):
        given = [t for t in (target.mask, target.depth, target.normal, target.photo) if t is not None]
        if not given:
            raise ReconError(f"view {number} of the mesh refinement", found="nothing to compare")
        for tensor in (*given, target.confidence, target.weight):
            if tensor is None:
                continue
            if tensor.shape[:2] != (target.height, target.width):
                raise ReconError(
                    f"view {number} of the mesh refinement",
                    found=f"a target of {tuple(tensor.shape)}",
                    wanted=f"{target.height} rows of {target.width} pixels",
                )
            if not bool(torch.isfinite(tensor).all()):
                raise ReconError(
                    f"view {number} of the mesh refinement", found="values that are not finite", fix="set them to 0"
                )
