"""Points, meshes and splats as the arrays and attributes of glTF primitives, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from recon.scene.buffers import Layout, rows_per_file
from recon.scene.edit import select, select_points
from recon.scene.families import FAMILIES
from recon.scene.nodes import Mesh, Points, Splats

Arrays = dict[str, np.ndarray]
_ROWS = 1 << 14


@dataclass(frozen=True)
class Stored:
    """A node's data as arrays by attribute name, made while they are written; [N, K, 3] stands for K attributes.
    `indices` holds faces."""

    layouts: Mapping[str, Layout]
    pieces: Iterable[Arrays]
    """Rows of all arrays, one piece after another."""


def parts(content: Points | Splats | Mesh, limit: int) -> list[Points | Splats | Mesh]:
    """The content in parts of at most about `limit` bytes. A mesh stays whole: its faces refer to its vertices."""
    if isinstance(content, Mesh):
        return [content]
    count = len(content) if isinstance(content, Splats) else len(content.positions)
    step = rows_per_file(sum(layout.nbytes for layout in stored(content).layouts.values()) // max(count, 1), limit)
    if step >= count:
        return [content]
    pieces = [slice(first, first + step) for first in range(0, count, step)]
    if isinstance(content, Splats):
        return [select(content, piece) for piece in pieces]
    return [select_points(content, piece) for piece in pieces]


def stored(content: Points | Splats | Mesh) -> Stored:
    """Splats in pieces: the activated values of all would be a second copy."""
    if isinstance(content, Splats):
        return _stored_splats(content)
    arrays = _point_arrays(content) if isinstance(content, Points) else _mesh_arrays(content)
    return Stored({name: Layout(values.shape, values.dtype) for name, values in arrays.items()}, [arrays])


def _point_arrays(points: Points) -> Arrays:
    arrays = {"POSITION": _numpy(points.positions), "COLOR_0": to_linear(_numpy(points.colors))}
    if points.normals is not None:
        arrays["NORMAL"] = _numpy(points.normals)
    if points.scales is not None:
        arrays["_RECON_SCALE"] = _numpy(points.scales)
    return arrays


def _mesh_arrays(mesh: Mesh) -> Arrays:
    arrays = {"POSITION": _numpy(mesh.vertices), "indices": mesh.faces.numpy().astype(np.uint32).reshape(-1)}
    if mesh.normals is not None:
        arrays["NORMAL"] = _numpy(mesh.normals)
    if mesh.uvs is not None:
        arrays["TEXCOORD_0"] = _numpy(mesh.uvs)
    if mesh.colors is not None:
        arrays["COLOR_0"] = to_linear(_numpy(mesh.colors))
    return arrays


def _stored_splats(splats: Splats) -> Stored:
    codec, count = FAMILIES[splats.family], len(splats)
    shapes = codec.to_arrays(select(splats, slice(0, 1)))
    layouts = {name: Layout((codec.rows * count, *values.shape[1:]), values.dtype) for name, values in shapes.items()}
    pieces = (codec.to_arrays(select(splats, slice(first, first + _ROWS))) for first in range(0, count, _ROWS))
    return Stored(layouts, pieces)


def from_arrays(kind: str, family: str | None, arrays: Mapping[str, np.ndarray]) -> Points | Splats | Mesh:
    """The inverse; `kind` is "points", "splats" or "mesh". KeyError names an attribute that is missing."""
    if kind == "splats":
        return FAMILIES[family or "gaussian"].from_arrays(arrays)
    normals = _optional(arrays, "NORMAL")
    colors = torch.from_numpy(to_srgb(arrays["COLOR_0"])) if "COLOR_0" in arrays else None
    if kind == "points":
        if colors is None:
            raise KeyError("COLOR_0")
        return Points(torch.from_numpy(arrays["POSITION"]), colors, normals, _optional(arrays, "_RECON_SCALE"))
    faces = torch.from_numpy(arrays["indices"].astype(np.int64)).reshape(-1, 3)
    return Mesh(torch.from_numpy(arrays["POSITION"]), faces, normals, _optional(arrays, "TEXCOORD_0"), colors)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB [0, 1] to linear light, as glTF wants vertex colours (IEC 61966-2-1)."""
    srgb = srgb.astype(np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB."""
    linear = linear.astype(np.float64)
    high = 1.055 * np.maximum(linear, 1e-12) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, high).astype(np.float32)


def width_of(attribute: str) -> int:
    """Components that an attribute of ours has by its name."""
    name = attribute.rpartition(":")[2]
    if name.startswith(("SH_DEGREE_", "_RECON_SH_DEGREE_", "_RECON_POINT_")):
        return 3
    return _WIDTHS.get(name, 0)


_WIDTHS = {
    "POSITION": 3, "NORMAL": 3, "TEXCOORD_0": 2, "_RECON_SCALE": 1, "indices": 1,
    "ROTATION": 4, "SCALE": 3, "OPACITY": 1, "_RECON_ROTATION": 4, "_RECON_SCALE2": 2, "_RECON_SCALE3": 3,
    "_RECON_OPACITY": 1, "_RECON_EXPONENT": 1, "_RECON_SIGMA": 1, "_RECON_DELTA": 1,
}  # fmt: skip


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


def _optional(arrays: Mapping[str, np.ndarray], name: str) -> torch.Tensor | None:
    return torch.from_numpy(arrays[name]) if name in arrays else None
