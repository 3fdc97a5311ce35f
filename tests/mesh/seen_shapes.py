"""Views of known surfaces as perfect splats would give them."""

from __future__ import annotations

import math

import torch
from test_refine import look_at_origin
from torch import Tensor

from recon.mesh.flexicubes import extract
from recon.mesh.views import SurfaceView
from recon.mesh.voxels import VoxelGrid
from recon.render.mesh import interpolate, rasterize_mesh


def ball(radius: float = 0.6) -> tuple[Tensor, Tensor]:
    grid = VoxelGrid.dense(40, torch.full((3,), -1.0), 2 / 40)
    surface = extract(grid, grid.corner_positions().norm(dim=1) - radius)
    return surface.vertices, surface.faces


def bent_sheet(count: int = 40) -> tuple[Tensor, Tensor]:
    """A sheet of 1.2 x 0.8 whose middle is 0.25 higher than two of its sides."""
    x, z = torch.meshgrid(torch.linspace(-0.6, 0.6, count), torch.linspace(-0.4, 0.4, count), indexing="ij")
    vertices = torch.stack([x, 0.25 * torch.cos(2 * x), z], -1).reshape(-1, 3)
    at = torch.arange(count * count).reshape(count, count)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = torch.cat([torch.stack([a, b, c], -1).reshape(-1, 3), torch.stack([a, c, d], -1).reshape(-1, 3)])
    return vertices, faces


def photograph(
    vertices: Tensor,
    faces: Tensor,
    count: int,
    size: int = 96,
    masks: bool = True,
    heights: tuple[float, float] = (-1, 1),
) -> list[SurfaceView]:
    """Cameras spread over the part of the sphere of radius 3 between two heights in [-1, 1]; colours are positions."""
    K = torch.tensor([[1.3 * size, 0, size / 2], [0, 1.3 * size, size / 2], [0, 0, 1]])
    corners = vertices[faces.long()]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals, out = torch.nn.functional.normalize(cross, dim=1), []
    for i in range(count):
        height, turn = heights[1] + (heights[0] - heights[1]) * (i + 0.5) / count, i * 2.4
        ring = math.sqrt(1 - height**2)
        pose = look_at_origin(torch.tensor([ring * math.cos(turn), height, ring * math.sin(turn)]) * 3)
        seen = rasterize_mesh(vertices, faces, pose, K, size, size)
        normal = normals[seen.face_ids.clamp(min=0).long()] * seen.mask[..., None]
        towards = -pose[:3, :3].T @ pose[:3, 3]
        normal = normal * (normal @ towards).sign()[..., None]
        mask = seen.mask.float()
        photo = interpolate((vertices + 1) / 2, faces, seen)
        out.append(SurfaceView(f"{i}", pose, K, seen.depth, normal, mask, photo, mask if masks else None, None))
    return out
