"""What a triangle mesh is made of: parts, holes, edges and vertices that no surface has, triangles that cross."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recon.geometry.graph import connected
from recon.scene.nodes import Mesh

_PAIRS = 1 << 20  # pairs of triangles that are looked at together


@dataclass(frozen=True)
class Topology:
    """Counts over a mesh; vertices at one place count once, unused ones not at all."""

    triangles: int
    vertices: int
    parts: int
    """Connected by shared vertices."""
    largest_part: float
    """Share of the area."""
    euler: int
    """V - E + F: 2 for each closed part without handles."""
    boundary_edges: int
    """Edges of one face."""
    boundary_loops: int
    """Connected sets of boundary edges."""
    non_manifold_edges: int
    """Edges of three or more faces."""
    flipped_edges: int
    """Edges that two faces run along in the same direction."""
    self_intersections: int
    """Pairs of triangles that share no vertex and cross."""

    def as_metrics(self) -> dict[str, Any]:
        """For metrics.json."""
        return asdict(self)


def welded(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float64 at distinct places and faces [F, 3] of three distinct ones."""
    _, first, index = np.unique(mesh.vertices.numpy(), axis=0, return_index=True, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces.numpy()]
    distinct = (faces != np.roll(faces, 1, axis=1)).all(1)
    used, faces = np.unique(faces[distinct], return_inverse=True)
    return mesh.vertices.numpy()[first][used].astype(np.float64), faces.reshape(-1, 3)


def topology(mesh: Mesh) -> Topology:
    """Count. About ten seconds for a million triangles."""
    vertices, faces = welded(mesh)
    if not len(faces):
        return Topology(0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    keys = directed.min(1) * len(vertices) + directed.max(1)
    edges, counts = np.unique(keys, return_counts=True)
    ends = np.stack([edges // len(vertices), edges % len(vertices)], 1)
    _, repeats = np.unique(directed[:, 0] * len(vertices) + directed[:, 1], return_counts=True)
    open_edges = ends[counts == 1]
    part = connected(len(vertices), ends)
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    by_part = np.bincount(part[faces[:, 0]], areas)
    loops = connected(len(vertices), open_edges)[open_edges[:, 0]] if len(open_edges) else np.zeros(0)
    return Topology(
        triangles=len(faces),
        vertices=len(vertices),
        parts=len(by_part),
        largest_part=float(by_part.max() / max(by_part.sum(), 1e-300)),
        euler=len(vertices) - len(edges) + len(faces),
        boundary_edges=len(open_edges),
        boundary_loops=len(np.unique(loops)),
        non_manifold_edges=int((counts > 2).sum()),
        flipped_edges=int((repeats > 1).sum()),
        self_intersections=self_intersections(vertices, faces),
    )


def self_intersections(vertices: np.ndarray, faces: np.ndarray) -> int:
    """Pairs of triangles without a common vertex of which an edge of one crosses the other. [V, 3], [F, 3]."""
    total = 0
    for a, b in _close_pairs(vertices[faces]):
        apart = (faces[a][:, :, None] != faces[b][:, None, :]).all((1, 2))
        a, b = a[apart], b[apart]
        total += int((_edges_cross(vertices[faces[a]], vertices[faces[b]])
                      | _edges_cross(vertices[faces[b]], vertices[faces[a]])).sum())  # fmt: skip
    return total


def _close_pairs(corners: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of triangles [F, 3, 3] whose boxes overlap, each once, in pieces. Found in the cells of a regular grid."""
    low, high = corners.min(1), corners.max(1)
    size = max(float(np.percentile((high - low).max(1), 90)), 1e-12)
    first = np.floor((low - low.min(0)) / size).astype(np.int64)
    last = np.floor((high - low.min(0)) / size).astype(np.int64)
    spans = last - first + 1
    cells = spans.prod(1)
    face = np.repeat(np.arange(len(corners)), cells)
    step = np.arange(len(face)) - np.repeat(cells.cumsum() - cells, cells)
    width = last.max(0) + 1
    x, y = step % spans[face, 0], step // spans[face, 0] % spans[face, 1]
    z = step // (spans[face, 0] * spans[face, 1])
    at = first[face] + np.stack([x, y, z], 1)
    cell = (at[:, 2] * width[1] + at[:, 1]) * width[0] + at[:, 0]
    order = np.argsort(cell, kind="stable")
    cell, face = cell[order], face[order]
    # Each entry meets those after it in its cell.
    ends = np.searchsorted(cell, cell, side="right")
    others = ends - np.arange(len(cell)) - 1
    found = []
    starts = np.concatenate([[0], np.searchsorted(others.cumsum(), np.arange(_PAIRS, others.sum(), _PAIRS))])
    for begin, end in zip(starts, [*starts[1:], len(cell)], strict=True):
        count = others[begin:end]
        mine = np.repeat(np.arange(begin, end), count)
        other = mine + 1 + np.arange(len(mine)) - np.repeat(count.cumsum() - count, count)
        a, b = face[mine], face[other]
        meet = (low[a] <= high[b]).all(1) & (low[b] <= high[a]).all(1)
        # A pair shares several cells: it counts in the one that holds the lowest corner of its common box.
        corner = np.floor((np.maximum(low[a], low[b]) - low.min(0)) / size).astype(np.int64)
        own = (corner[:, 2] * width[1] + corner[:, 1]) * width[0] + corner[:, 0] == cell[mine]
        found.append((a[meet & own], b[meet & own]))
    return found


def _edges_cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[N] whether an edge of triangle a [N, 3, 3] passes through the inside of triangle b, with its ends beside it."""
    normal = np.cross(b[:, 1] - b[:, 0], b[:, 2] - b[:, 0])
    side = np.einsum("nkd,nd->nk", a - b[:, :1], normal)
    crosses = np.zeros(len(a), bool)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        over = side[:, i] * side[:, j] < 0
        share = side[over, i] / (side[over, i] - side[over, j])
        point = a[over, i] + share[:, None] * (a[over, j] - a[over, i])
        inside = np.ones(len(point), bool)
        for k in range(3):
            edge = b[over, (k + 1) % 3] - b[over, k]
            inside &= np.einsum("nd,nd->n", np.cross(edge, point - b[over, k]), normal[over]) > 0
        crosses[over] |= inside
    return crosses
