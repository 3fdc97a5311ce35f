"""Points, meshes and splats as the arrays and attributes of glTF primitives, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from recon.scene.families import FAMILIES
from recon.scene.families.appearance import SH, harmonics
from recon.scene.nodes import Mesh, Points, Splats

Arrays = dict[str, np.ndarray]
_ROWS = 1 << 16


def to_arrays(content: Points | Splats | Mesh) -> Arrays:
    """Arrays by attribute name; [N, K, 3] stands for K attributes. `indices` holds faces."""
    if isinstance(content, Splats):
        return _splat_arrays(content)
    arrays: Arrays = {}
    if isinstance(content, Points):
        arrays = {"POSITION": _numpy(content.positions), "COLOR_0": to_linear(_numpy(content.colors))}
        if content.normals is not None:
            arrays["NORMAL"] = _numpy(content.normals)
        if content.scales is not None:
            arrays["_RECON_SCALE"] = _numpy(content.scales)
        return arrays
    arrays = {"POSITION": _numpy(content.vertices), "indices": content.faces.numpy().astype(np.uint32).reshape(-1)}
    if content.normals is not None:
        arrays["NORMAL"] = _numpy(content.normals)
    if content.uvs is not None:
        arrays["TEXCOORD_0"] = _numpy(content.uvs)
    if content.colors is not None:
        arrays["COLOR_0"] = to_linear(_numpy(content.colors))
    return arrays


def _splat_arrays(splats: Splats) -> Arrays:
    """In pieces, because activations pass through double precision; harmonics, the most of it, are not copied."""
    codec, count = FAMILIES[splats.family], len(splats)
    result: Arrays = {}
    for first in range(0, max(count, 1), _ROWS):
        piece = Splats(splats.family, {name: value[first : first + _ROWS] for name, value in splats.params.items()})
        for name, values in codec.to_arrays(piece).items():
            if name == SH and codec.rows == 1:
                continue
            if name not in result:
                result[name] = np.empty((codec.rows * count, *values.shape[1:]), values.dtype)
            result[name][codec.rows * first : codec.rows * first + len(values)] = values
    if codec.rows == 1:
        result[SH] = harmonics(splats)
    return result


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
