"""What a triangle mesh is made of: edges, boundary loops, vertices where surfaces only touch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Topology:
    """Counts over a mesh; unused vertices do not count."""

    boundary_edges: int
    """Edges of one face."""
    non_manifold_edges: int
    """Edges of three or more faces."""
    flipped_edges: int
    """Edges that two faces run along in the same direction."""
    bow_ties: int
    """Vertices whose faces are not one fan."""
    boundary_loops: int
    """Connected sets of boundary edges."""
    euler: int
    """V - E + F."""


def topology(faces: Tensor) -> Topology:
    """Count, for faces [F, 3]."""
    f = faces.numpy().astype(np.int64)
    directed = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    edges, counts = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    _, repeats = np.unique(directed, axis=0, return_counts=True)
    return Topology(
        boundary_edges=int((counts == 1).sum()),
        non_manifold_edges=int((counts > 2).sum()),
        flipped_edges=int((repeats > 1).sum()),
        bow_ties=_bow_ties(f),
        boundary_loops=_components(edges[counts == 1]),
        euler=len(np.unique(f)) - len(edges) + len(f),
    )


def _components(edges: np.ndarray) -> int:
    parent: dict[int, int] = {}

    def root(v: int) -> int:
        parent.setdefault(v, v)
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for a, b in edges.tolist():
        parent[root(a)] = root(b)
    return sum(v == parent[v] for v in parent)


def _bow_ties(faces: np.ndarray) -> int:
    links: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for a, b, c in faces.tolist():
        links[a].append((b, c))
        links[b].append((c, a))
        links[c].append((a, b))
    return sum(_components(np.array(link)) > 1 for link in links.values())
