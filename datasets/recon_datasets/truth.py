"""The surface that was photographed: meshes and an evaluation sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon_datasets.render import PinholeCamera, surface
from recon_datasets.scenes import Item, SceneModel
from recon_datasets.shapes import Array

OBJECT_EDGE, SCENERY_EDGE, WALL_EDGE = 0.005, 0.02, 0.05
"""Edge lengths of the tessellation, m: fine enough for the object's print to be read from the vertex colours."""
SEEN_WITHIN = 0.01
"""A point is seen where the depth map agrees with its depth to this share."""


def item_mesh(item: Item, edge: float | None = None) -> tuple[Array, Array]:
    """World vertices [V, 3] and triangles [F, 3] of one item; closed where the shape is, every edge shared by two."""
    own = OBJECT_EDGE if item.is_object else SCENERY_EDGE if item.casts_shadow else WALL_EDGE
    local, faces = weld(*item.shape.tessellate(edge or own))
    return local @ item.rotation.T + item.position, faces


def weld(vertices: Array, faces: Array) -> tuple[Array, Array]:
    """Merge vertices that lie within a micrometre on a grid, so that faces which touch share them."""
    _, first, index = np.unique(
        (vertices * 1e6).round().astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return vertices[first], index.reshape(-1)[faces]


def truth_mesh(model: SceneModel, edge: float | None = None, object_only: bool = False) -> tuple[Array, Array, Array]:
    """Vertices [V, 3], triangles [F, 3] and sRGB albedo [V, 3] uint8; of all items or of the object alone."""
    vertices, faces, colors, count = [], [], [], 0
    for index, item in enumerate(model.items):
        if object_only and not item.is_object:
            continue
        points, triangles = item_mesh(item, edge)
        vertices.append(points)
        faces.append(triangles + count)
        colors.append(_albedo(model, np.full(len(points), index), points)[1])
        count += len(points)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors)


def sample_surface(model: SceneModel, count: int, seed: int) -> dict[str, Array]:
    """PLY columns of `count` points, half of them area-uniform on the object and half on the rest.

    x y z, m; nx ny nz, outward; red green blue, albedo; object, 1 on the object.
    """
    random = np.random.default_rng([seed, 2])
    meshes = [item_mesh(item) for item in model.items]
    groups = [[i for i, item in enumerate(model.items) if item.is_object == wanted] for wanted in (True, False)]
    points, which = [], []
    for group in filter(None, groups):
        corners = np.concatenate([meshes[i][0][meshes[i][1]] for i in group])
        owner = np.concatenate([np.full(len(meshes[i][1]), i) for i in group])
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        picked = random.choice(len(areas), count // 2, p=areas / areas.sum())
        u, v = random.random((2, count // 2, 1))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        a, b, c = corners[picked].swapaxes(0, 1)
        points.append(a + u * (b - a) + v * (c - a))
        which.append(owner[picked])
    positions, items = np.concatenate(points), np.concatenate(which)
    normals, colors = _albedo(model, items, positions)
    columns = dict(zip(("x", "y", "z"), positions.T.astype(np.float32), strict=True))
    columns |= dict(zip(("nx", "ny", "nz"), normals.T.astype(np.float32), strict=True))
    columns |= dict(zip(("red", "green", "blue"), colors.T, strict=True))
    columns["object"] = np.array([item.is_object for item in model.items], np.uint8)[items]
    return columns


def count_views(points: Array, cameras: Sequence[PinholeCamera], depths: Sequence[Array]) -> Array:
    """In how many views each of `points` [N, 3] is seen, [N] uint8 (at most 255), by their depth maps [H, W].

    Points within a pixel of an edge may be taken for hidden. For plain pinholes and distorted lenses alike.
    """
    seen = np.zeros(len(points), np.int64)
    for camera, depth in zip(cameras, depths, strict=True):
        pixels, z = camera.project(points)
        with np.errstate(invalid="ignore"):
            inside = (z > 0) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1)
        column, row = pixels[inside].astype(int).T
        seen[inside] += np.abs(depth[row, column] - z[inside]) < SEEN_WITHIN * z[inside]
    return np.minimum(seen, 255).astype(np.uint8)


def write_ply(path: Path, columns: dict[str, Array], faces: Array | None = None) -> None:
    """Binary little-endian PLY with the given vertex properties [V] and triangles [F, 3]."""
    names = {"f4": "float", "u1": "uchar"}
    layout = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    rows = np.empty(len(next(iter(columns.values()))), layout)
    for name, column in columns.items():
        rows[name] = column
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {names[column.dtype.str[1:]]} {name}" for name, column in columns.items()]
    body = rows.tobytes()
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        triangles = np.empty(len(faces), np.dtype([("count", "u1"), ("index", "<i4", 3)]))
        triangles["count"], triangles["index"] = 3, faces
        body += triangles.tobytes()
    path.write_bytes("\n".join([*header, "end_header\n"]).encode() + body)


def write_mesh(path: Path, mesh: tuple[Array, Array, Array]) -> None:
    """Vertices, triangles and colours as `truth_mesh` gives them."""
    vertices, faces, colors = mesh
    columns = dict(zip(("x", "y", "z"), vertices.T.astype(np.float32), strict=True))
    columns |= dict(zip(("red", "green", "blue"), colors.T, strict=True))
    write_ply(path, columns, faces)


def _albedo(model: SceneModel, which: Array, points: Array) -> tuple[Array, Array]:
    """Normals [N, 3] and albedo [N, 3] uint8 on the items `which` [N]."""
    normals, albedo = surface(model.items, which, points)
    return normals, (albedo * 255 + 0.5).astype(np.uint8)
