"""Packs the pieces of a surface into a square, by xatlas: `recon.mesh.unwrap` runs it in a process of its own.

python atlas.py given.npz made.npz SIZE PADDING
"""

from __future__ import annotations

import sys

import numpy as np
import xatlas
from numpy.typing import NDArray


def main(given_path: str, made_path: str, size: int, padding: int) -> None:
    """Read what `unwrap` gives, write what it wants: rows [V'], faces [F, 3], uvs [V', 2] and the number of charts."""
    with np.load(given_path) as given:
        vertices, faces = given["vertices"], given["faces"]
        shown, piece, corners, density = given["shown"], given["piece"], given["corners"], float(given["density"])
    rest = np.setdiff1d(np.arange(len(faces)), shown)
    # Corners of a vertex within a piece are one.
    key = piece.repeat(3) * len(vertices) + faces[shown].reshape(-1)
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    rows, places = faces[shown].reshape(-1)[first], corners.reshape(-1, 2)[first]
    if len(rest):
        own, cut, flat = flattened(vertices, faces[rest], density)
        index = np.concatenate([index.reshape(-1, 3), cut + len(rows)])
        rows, places = np.concatenate([rows, own]), np.concatenate([places, flat])
    atlas, packing = xatlas.Atlas(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.create_image = size, padding, False
    # A material a piece: some touch in the photo, and yet are not one.
    materials = np.concatenate([piece, np.full(len(rest), piece.max(initial=-1) + 1)])
    atlas.add_uv_mesh(
        places.astype(np.float32), index.reshape(-1, 3).astype(np.uint32), materials[:, None].astype(np.uint32)
    )
    atlas.generate(xatlas.ChartOptions(), packing)
    again, cut, uvs = atlas[0]
    done = np.empty((len(faces), 3), np.int64)
    done[np.concatenate([shown, rest])] = cut
    np.savez(made_path, rows=rows[again], faces=done, uvs=uvs, charts=atlas.chart_count)


def flattened(
    vertices: NDArray[np.float32], faces: NDArray[np.uint32], density: float
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float64]]:
    """Vertices' rows, faces in terms of those, and where they lie in charts by xatlas, `density` texels a unit."""
    atlas, packing = xatlas.Atlas(), xatlas.PackOptions()
    packing.create_image = False
    atlas.add_mesh(vertices, faces)
    atlas.generate(xatlas.ChartOptions(), packing)
    rows, cut, uvs = atlas[0]
    return rows, cut, uvs * np.array([atlas.width, atlas.height]) * (density / atlas.texels_per_unit)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
