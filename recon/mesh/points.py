"""A point cloud as triangles: signed distances from planes through the points, and their zero level.

On voxels about as large as the points' distances, a corner's value is the mean of its signed distances from the nearest
points' planes, weighted by nearness (implicit moving least squares; Kolluri 2008, section 2). Only voxels near points
exist, and triangles away from all points are cut off: a surface ends where the points end.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.flexicubes import extract
from recon.mesh.orient import turned_alike
from recon.mesh.voxels import LIMIT, VoxelGrid

FEWEST = 100
"""Points that are worth a surface."""
MOST_POINTS = 500_000
"""A mesh of 256 voxels along its longest side resolves no more; of larger clouds evenly chosen points are used."""
_NEIGHBORS = 12
"""Points that a normal is estimated from, and that orientation spreads to."""
_SPACING = 8
"""The voxel size is the distance to this neighbour: 1.6 times the mean distance of points that lie at random."""
_PLANES = 16
"""Planes that a corner's distance comes from, at most."""
_REACH = 3.0
"""Voxels from a point within which distances are known: a voxel's diagonal and the widest gap of points at random."""
_OVERHANG = 1.25
"""Voxels from the nearest point to the middle of a triangle, at most."""


@torch.no_grad()
def surface_of_points(points: Tensor, normals: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Vertices [V, 3] float32 and faces [F, 3] int64 of the surface that points lie on.

    points: [N, 3] in any unit.   normals: [N, 3] of any length, outward; estimated and oriented when there are none,
    and where they are zero or not finite all of them are. Points are expected to lie about evenly: where they lie
    twice as far from each other as elsewhere, holes stay. Raises ReconError for fewer than `FEWEST` distinct points,
    and when they are on no surface.
    """
    from scipy.spatial import cKDTree

    place, normals = _distinct(points.double(), None if normals is None else normals.double())
    if len(place) < FEWEST:
        raise ReconError(
            "a surface of points", found=f"{len(place)} distinct points", wanted=f"at least {FEWEST}",
            fix="give a denser point cloud, or leave mesh.init out",
        )  # fmt: skip
    array = place.numpy()
    tree, workers = cKDTree(array), torch.get_num_threads()
    distances, near = tree.query(array, k=_NEIGHBORS + 1, workers=workers)
    size = float(np.quantile(distances[:, _SPACING], 0.9))
    if normals is None:
        normals = estimated_normals(place, torch.from_numpy(near))
    low = place.amin(0)
    if float((place.amax(0) - low).max()) > LIMIT / 2 * size:
        raise ReconError(
            "a surface of points", found=f"points that lie {size:.3g} apart and one that is far from all others",
            wanted="points of one surface", fix="remove outliers from the file",
        )  # fmt: skip
    coords = ((place - low) / size).floor().to(torch.int32)
    grid = VoxelGrid.from_coords(coords, low, size).dilate(2)
    corners = grid.corner_positions(torch.float64)
    away, rows = tree.query(corners.numpy(), k=_PLANES, workers=workers)
    reach, index = torch.from_numpy(away), torch.from_numpy(rows)
    # Relative to the nearest, so that far corners keep a weight.
    weight = torch.exp((reach[:, :1].square() - reach.square()) / (0.5 * size) ** 2)
    heights = ((corners[:, None] - place[index]) * normals[index]).sum(-1)
    sdf = (heights * weight).sum(1) / weight.sum(1)
    kept = grid.select((reach[:, 0] < _REACH * size)[grid.voxel_corners.long()].all(1))
    surface = extract(kept, sdf[grid.find_corners(kept.corners)].float())
    faces = surface.faces.long()
    middles = surface.vertices[faces].mean(1).double().numpy()
    if len(faces):
        gap, _ = tree.query(middles, workers=workers)
        faces = faces[torch.from_numpy(gap < _OVERHANG * size)]
    if not len(faces):
        raise ReconError(
            "a surface of points", found=f"none through {len(place):,} points", wanted="points on a surface",
            fix="check the normals of the file, or give it without them",
        )  # fmt: skip
    return surface.vertices, faces


def _distinct(points: Tensor, normals: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Points without repeats, at most `MOST_POINTS`, and their normals of unit length where all have one."""
    place, which = np.unique(points.numpy(), axis=0, return_index=True)
    rows = np.arange(len(place))
    if len(place) > MOST_POINTS:
        rows = np.random.default_rng(0).choice(len(place), MOST_POINTS, replace=False)
    chosen = torch.from_numpy(place[rows])
    if normals is None:
        return chosen, None
    length = normals.norm(dim=1, keepdim=True)
    if not bool((length.isfinite() & (length > 0)).all()):
        return chosen, None
    return chosen, (normals / length)[torch.from_numpy(which[rows])]


def estimated_normals(points: Tensor, neighbors: Tensor) -> Tensor:
    """[N, 3] unit normals of points [N, 3], turned the same way along the surface, outward where it is closed.

    neighbors: [N, K + 1] int64, the nearest points of each, itself first. The normal is the direction in which they
    vary least.
    """
    around = points[neighbors]
    offset = around - around.mean(1, keepdim=True)
    axes = torch.linalg.eigh(offset.transpose(1, 2) @ offset).eigenvectors[..., 0]
    start = neighbors[:, :1].expand(-1, neighbors.shape[1] - 1)
    ends = torch.stack([start, neighbors[:, 1:]], -1).reshape(-1, 2).sort(1).values
    # The sum of (p - c) . n over evenly spread points of a closed surface is three times its volume: positive outward.
    return turned_alike(axes.float(), torch.unique(ends, dim=0), (points - points.mean(0)).float()).double()
