"""Distances of points from triangle meshes, signed where the mesh is closed, and what rays meet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import triangles
from recon.render.library import kernels, pointer


@dataclass(frozen=True)
class Nearest:
    """The nearest points of a mesh."""

    faces: Tensor
    """[N] int64."""
    barycentrics: Tensor
    """[N, 3], weights of the face's vertices; exactly zero for those that an edge or a vertex does not have."""
    points: Tensor
    """[N, 3], differentiable in the mesh's vertices."""


def nearest(points: Tensor, vertices: Tensor, faces: Tensor) -> Nearest:
    """The point of the mesh next to each of `points` [N, 3]; vertices [V, 3], faces [F, 3] integers, F > 0.

    The choice of face and weights is taken as constant, which gives distances their exact gradient (envelope theorem).
    """
    if not len(faces):
        raise ValueError("the mesh has no faces")
    p, v = points.detach().contiguous(), vertices.detach().to(points.dtype).contiguous()
    index = faces.to(torch.int32).contiguous()
    face = torch.empty(len(p), dtype=torch.int32)
    weights = torch.empty_like(p)
    kernels(p).closest_points(
        vertices=pointer(v), faces=pointer(index), face_count=len(index), points=pointer(p), count=len(p),
        face=pointer(face), barycentrics=pointer(weights),
    )  # fmt: skip
    wide = face.long()
    return Nearest(wide, weights, (weights[..., None] * vertices[faces.long()[wide]]).sum(1))


def first_hits(
    origins: Tensor, directions: Tensor, vertices: Tensor, faces: Tensor, near: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What rays meet first: how many directions away [N], infinity for nothing, and the face [N] int64, -1 for nothing.

    origins, directions: [N, 3], directions of any length; vertices: [V, 3]; faces: [F, 3] integers. Both sides count.
    near: hits at or before this are passed over, such as those of the surface that a ray starts from.
    """
    o, d = origins.detach().contiguous(), directions.detach().to(origins.dtype).contiguous()
    v, index = vertices.detach().to(origins.dtype).contiguous(), faces.to(torch.int32).contiguous()
    face = torch.empty(len(o), dtype=torch.int32)
    distance = o.new_empty(len(o))
    kernels(o).first_hits(
        vertices=pointer(v), faces=pointer(index), face_count=len(index), origins=pointer(o), directions=pointer(d),
        count=len(o), near=near, face=pointer(face), distance=pointer(distance),
    )  # fmt: skip
    return distance, face.long()


def signed_distance(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """[N] distances to a closed, consistently oriented mesh, negative inside.

    The sign is that of the pseudo-normal of the nearest face, edge or vertex. Source: Baerentzen & Aanes 2005.
    """
    found = nearest(points, vertices, faces)
    index = faces.long()[found.faces]
    away = points - found.points
    face_normals, edge_normals, vertex_normals = _pseudo_normals(vertices, faces)
    zero = found.barycentrics == 0
    normal = face_normals[found.faces]
    on_edge = zero.sum(1) == 1
    # Edge i lies opposite to corner i: the corner that has no weight.
    normal = torch.where(on_edge[:, None], edge_normals[found.faces, zero.int().argmax(1)], normal)
    on_vertex = zero.sum(1) == 2
    at = index.gather(1, found.barycentrics.argmax(1, keepdim=True))[:, 0]
    normal = torch.where(on_vertex[:, None], vertex_normals[at], normal)
    return away.norm(dim=1) * torch.where((away * normal).sum(1) < 0, -1.0, 1.0)


def sample_surface(vertices: Tensor, faces: Tensor, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points spread over the surface by area, and their faces: [count, 3], [count]; differentiable in vertices."""
    corners = vertices[faces.long()]
    areas = triangles.crosses(corners).norm(dim=1).detach()
    rng = torch.Generator().manual_seed(seed)
    ladder = areas.double().cumsum(0)
    # One draw per equal share of the area: less noise than independent draws, still uniform.
    draws = (torch.arange(count) + torch.rand(count, generator=rng, dtype=torch.float64)) / count * ladder[-1]
    face = torch.searchsorted(ladder, draws).clamp(max=len(faces) - 1)
    u, v = torch.rand(2, count, generator=rng, dtype=vertices.dtype)
    root = u.sqrt()
    weights = torch.stack([1 - root, root * (1 - v), root * v], dim=1)
    return (weights[..., None] * corners[face]).sum(1), face


def mean_distance(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], count: int = 200_000, seed: int = 0) -> float:
    """Mean distance between two surfaces (vertices, faces), half of each direction, over area-uniform samples."""
    total = 0.0
    for one, other in ((a, b), (b, a)):
        points, _ = sample_surface(*one, count, seed)
        total += float((points - nearest(points, *other).points).norm(dim=1).mean()) / 2
    return total


def _pseudo_normals(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit normals of faces [F, 3], sums over both faces of edges [F, 3, 3], angle-weighted sums at vertices [V, 3]."""
    index = faces.long()
    corners = vertices[index]
    sides = corners.roll(-1, 1) - corners
    normals = torch.nn.functional.normalize(torch.linalg.cross(sides[:, 0], sides[:, 1]), dim=1)
    units = torch.nn.functional.normalize(sides, dim=2)
    angles = torch.acos((-units * units.roll(1, 1)).sum(2).clamp(-1, 1))
    at_vertices = torch.zeros_like(vertices)
    at_vertices.index_add_(0, index.reshape(-1), (angles[..., None] * normals[:, None]).reshape(-1, 3))
    at_edges = normals[:, None].repeat(1, 3, 1)
    other = _faces_across(index, len(vertices))
    at_edges = at_edges + torch.where((other >= 0)[..., None], normals[other.clamp(min=0)], 0)
    return normals, at_edges, at_vertices


def _faces_across(index: Tensor, vertex_count: int) -> Tensor:
    """[F, 3]: the face across the edge opposite to each corner, -1 at a boundary."""
    pairs = torch.stack([index.roll(-1, 1), index.roll(-2, 1)], -1).reshape(-1, 2)
    forward, backward = pairs[:, 0] * vertex_count + pairs[:, 1], pairs[:, 1] * vertex_count + pairs[:, 0]
    order = forward.argsort()
    place = torch.searchsorted(forward[order], backward).clamp(max=len(order) - 1)
    edge = order[place]
    return torch.where(forward[edge] == backward, edge // 3, -1).reshape(-1, 3)
