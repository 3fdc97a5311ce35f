"""Which part of a lattice a step works on when the whole with its gradients is larger than the budget.

A frustum-aware section holds the voxels that a camera sees, nearest first, as many as fit, and one ring around them.
The ring is drawn but not compared: at the section's cuts the surface ends where the object does not.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.flexicubes import Surface
from recon.mesh.parameters import CubeParameters, Section, section
from recon.mesh.space import Space
from recon.render.mesh import homogeneous_pixels

_LATTICE = (12 + 8 * 4 + 8, 12 + 4)
"""Bytes that a voxel and a corner of a lattice hold: coordinates, corners and key; coordinates and owner."""

_MESH = 1200
"""Bytes of mesh, gradient and rasteriser's lists for each voxel that the surface crosses: a dual vertex, a quad's
centre and four faces, measured as the growth of the resident size over steps."""

_SURFACE_SHARE = 1 / 3
"""Part of the voxels of a one-ring band that the surface crosses."""

_RING = 1.6
"""Growth of a section by its ring; measured on closed objects."""


def parse_memory(text: str) -> int:
    """Bytes of "512MB" or "4GB" (powers of 1000). Raises ReconError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(MB|GB)\s*", text, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise ReconError("mesh.memory", found=repr(text), wanted='a size such as "512MB" or "4GB"')
    return int(float(match[1]) * (10**9 if match[2].upper() == "GB" else 10**6))


def _parameter_bytes(start: CubeParameters) -> tuple[int, int]:
    """Bytes of one copy of all parameters, per voxel and per corner."""
    corner = sum(v.element_size() * v[0].numel() for v in start.values.values() if len(v) == len(start.grid.corners))
    total = sum(v.element_size() * v.numel() for v in start.values.values())
    corners = len(start.grid.corners)
    return (total - corner * corners) // max(len(start.grid), 1), corner


def _needs(start: CubeParameters, copies: int, mesh: bool) -> float:
    """Bytes per voxel for so many copies of the parameters; corners count with the voxels they belong to."""
    voxel, corner = _parameter_bytes(start)
    share = len(start.grid.corners) / max(len(start.grid), 1)
    need = _LATTICE[0] + copies * voxel + share * (_LATTICE[1] + copies * corner)
    return need + (_SURFACE_SHARE * _MESH if mesh else 0)


def fits(start: CubeParameters, memory: str) -> bool:
    """Whether the whole lattice can be refined at once: values, moments, gradients and copies, and the mesh."""
    return len(start.grid) * _needs(start, copies=5, mesh=True) <= parse_memory(memory)


def has_room(start: CubeParameters, memory: str) -> bool:
    """Whether a section fits beside the sleeping whole."""
    try:
        return capacity(start, memory) > 0
    except ReconError:
        return False


def capacity(start: CubeParameters, memory: str) -> int:
    """Voxels of a section beside the sleeping whole, ring included. Raises ReconError when the whole leaves no room."""
    budget, held = parse_memory(memory), len(start.grid) * _needs(start, copies=3, mesh=False)
    count = int((budget - held) / _needs(start, copies=5, mesh=True))
    if count < min(len(start.grid), 4096):
        need = held + min(len(start.grid), 4096) * _needs(start, copies=5, mesh=True)
        raise ReconError(
            f"mesh.memory for {len(start.grid)} voxels",
            found=f"{budget / 1e9:.3g} GB",
            wanted=f"at least {need / 1e9:.3g} GB",
            fix="raise mesh.memory or lower mesh.resolution",
        )
    return count


def choose_section(
    start: CubeParameters, world_to_camera: Tensor, K: Tensor, size: tuple[int, int], memory: str, space: Space
) -> Section:
    """The voxels in a camera's frustum, nearest first, as many as fit, and a ring. size: width, height."""
    grid = start.grid
    q = homogeneous_pixels(space.to_world(grid.centers()), world_to_camera, K)
    ends = q.new_tensor(size)
    seen = (q[:, 2] > 0) & (q[:, :2] >= 0).all(1) & (q[:, :2] < q[:, 2:] * ends).all(1)
    room = int(capacity(start, memory) / _RING)
    if int(seen.sum()) > room:
        depth = torch.where(seen, q[:, 2], torch.inf)
        seen &= depth <= depth.kthvalue(room).values
    keep = seen.clone()
    ring = grid.find(grid.select(seen).dilate(1).coords)
    keep[ring[ring >= 0]] = True
    return section(grid, keep, seen)


def inner_faces(part: Section, surface: Surface) -> Tensor:
    """[F] bool: faces of a section's training surface whose dual vertices all lie in voxels that are no ring."""
    duals = part.core[surface.voxels]
    corners = torch.cat([duals, duals.new_ones(len(surface.vertices) - len(duals))])
    return corners[surface.faces.long()].all(1).reshape(-1, 4).all(1).repeat_interleave(4)
