"""Meshes and points moved by a matrix [4, 4], with their normals and sizes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.scene.nodes import Mesh, Points


def moved_points(points: Points, matrix: Tensor) -> Points:
    """The points where `matrix` takes them; it may shear, sizes then change by their mean."""
    if _nothing(matrix):
        return points
    size = abs(float(torch.linalg.det(matrix[:3, :3]))) ** (1 / 3)
    scales = None if points.scales is None else points.scales * size
    return Points(_places(points.positions, matrix), points.colors, _directions(points.normals, matrix), scales)


def moved_mesh(mesh: Mesh, matrix: Tensor) -> Mesh:
    """The mesh where `matrix` takes it; it may shear, and mirror: triangles then keep their outside."""
    if _nothing(matrix):
        return mesh
    mirrored = float(torch.linalg.det(matrix[:3, :3])) < 0
    return replace(
        mesh,
        vertices=_places(mesh.vertices, matrix),
        faces=mesh.faces.flip(1) if mirrored else mesh.faces,
        normals=_directions(mesh.normals, matrix),
    )


def _nothing(matrix: Tensor) -> bool:
    return torch.equal(matrix, torch.eye(4, dtype=matrix.dtype))


def _places(points: Tensor, matrix: Tensor) -> Tensor:
    return rigid.transform_points(matrix.double(), points.double()).to(points.dtype)


def _directions(normals: Tensor | None, matrix: Tensor) -> Tensor | None:
    """By the inverse transpose, under which a normal stays upright on its surface."""
    if normals is None:
        return None
    upright = normals.double() @ torch.linalg.inv(matrix[:3, :3].double())
    return torch.nn.functional.normalize(upright, dim=-1).to(normals.dtype)
