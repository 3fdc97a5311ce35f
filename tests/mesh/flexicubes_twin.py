"""FlexiCubes in plain torch and loops, for autograd: written from the paper, with the core's case table alone."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.mesh.voxels import VoxelGrid
from recon.render.library import core

_LOW = [(e & 1) << (e // 4 + 1) % 3 | (e >> 1 & 1) << (e // 4 + 2) % 3 for e in range(12)]
EDGE_CORNERS = torch.tensor([[low, low | 1 << e // 4] for e, low in enumerate(_LOW)])
"""[12, 2] corners of each edge: edge e runs along axis e // 4."""


def extract_twin(
    grid: VoxelGrid, sdf: Tensor, deform: Tensor, alpha: Tensor, beta: Tensor, gamma: Tensor, training: bool
) -> tuple[Tensor, list[list[int]], Tensor]:
    """Vertices, faces and deviations as `extract` returns them."""
    table = core.cube_table()
    place = grid.corner_positions(sdf.dtype) + grid.voxel_size / 2 * torch.tanh(deform)
    a, b, g = 1 + 0.99 * torch.tanh(alpha), 1 + 0.99 * torch.tanh(beta), 0.99 * torch.sigmoid(gamma) + 0.005
    voxel_of = {tuple(c): m for m, c in enumerate(grid.coords.tolist())}
    inside = (sdf < 0)[grid.voxel_corners.long()]
    plain = [sum(int(bit) << k for k, bit in enumerate(row)) for row in inside.tolist()]
    cases = list(plain)
    for m, coord in enumerate(grid.coords.tolist()):
        face = table[plain[m]][1]
        if face < 0:
            continue
        step = [0, 0, 0]
        step[face // 2] = 1 if face % 2 else -1
        other = voxel_of.get(tuple(x + d for x, d in zip(coord, step, strict=True)))
        if other is not None and table[plain[other]][1] == face ^ 1:
            cases[m] = 255 - plain[m]

    vertices: list[Tensor] = []
    deviations: list[Tensor] = []
    number: dict[tuple[int, int], int] = {}
    for m, case in enumerate(cases):
        corners = grid.voxel_corners[m].long()
        s, x = sdf[corners], place[corners]
        for dual in range(table[case][0]):
            edges = [e for e in range(12) if table[case][2][e] == dual]
            low, high = EDGE_CORNERS[edges].T

            def crossing(values: Tensor, low: Tensor = low, high: Tensor = high, x: Tensor = x) -> Tensor:
                top = values[high, None] * x[low] - values[low, None] * x[high]
                return top / (values[high] - values[low])[:, None]

            u, weight = crossing(s * a[m]), b[m][edges][:, None]
            vertex = (weight * u).sum(0) / weight.sum()
            distance = (vertex - crossing(s)).norm(dim=1)
            deviations.append((distance - distance.mean()).abs().mean())
            for e in edges:
                number[m, e] = len(vertices)
            vertices.append(vertex)

    quads: list[tuple[list[int], list[int]]] = []
    for m, coord in enumerate(grid.coords.tolist()):
        for axis in range(3):
            if (m, 4 * axis + 3) not in number:
                continue
            ring = []
            for u, v, edge in ((0, 0, 3), (1, 0, 2), (1, 1, 0), (0, 1, 1)):
                step = [0, 0, 0]
                step[(axis + 1) % 3], step[(axis + 2) % 3] = u, v
                other = voxel_of.get(tuple(x + d for x, d in zip(coord, step, strict=True)))
                ring.append((other, 4 * axis + edge))
            if any(other is None for other, _ in ring):
                continue
            if sdf[grid.voxel_corners[m, EDGE_CORNERS[4 * axis + 3, 0]]] >= 0:
                ring = [ring[0], ring[3], ring[2], ring[1]]
            quads.append(([int(other) for other, _ in ring], [number[key] for key in ring]))

    faces: list[list[int]] = []
    duals = len(vertices)
    for voxels, q in quads:
        first, second = g[voxels[0]] * g[voxels[2]], g[voxels[1]] * g[voxels[3]]
        if not training:
            halves = ((0, 1, 2), (0, 2, 3)) if first > second else ((0, 1, 3), (1, 2, 3))
            faces += [[q[i] for i in half] for half in halves]
            continue
        v = [vertices[i] for i in q]
        faces += [[q[i], q[(i + 1) % 4], len(vertices)] for i in range(4)]
        vertices.append((first * (v[0] + v[2]) / 2 + second * (v[1] + v[3]) / 2) / (first + second))
    assert len(deviations) == duals
    return torch.stack(vertices), faces, torch.stack(deviations)
