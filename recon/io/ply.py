"""PLY: splats (Gaussians in the INRIA layout) and coloured point clouds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import spherical_harmonics
from recon.io.files import shorten
from recon.io.ply_file import PlyFile, open_ply, write_ply
from recon.scene import Points, Splats

_FAMILY = "recon splats of the family"
_POINT_PROPERTIES = ("x", "y", "z", "red", "green", "blue", "f_dc_0", "f_dc_1", "f_dc_2", "nx", "ny", "nz", "radius")
_GREY = 0.5
"""Colour of points whose file has none."""


def write_splats(path: Path, splats: Splats) -> None:
    """Write splats: Gaussians as the INRIA code does (logit opacities, log scales, quats wxyz, `f_rest` by channel).

    Other families share colours and opacities with that layout, so that programs show them as points, and have a
    property `recon_<parameter>_<index>` for every number of their own and a comment with their name.
    """
    columns: dict[str, np.ndarray] = {}
    if splats.family == "gaussian":
        columns |= _columns(["x", "y", "z"], splats["means"])
        columns |= dict.fromkeys(["nx", "ny", "nz"], np.zeros(len(splats), np.float32))
    else:
        place = next(splats[name] for name in ("means", "vertices", "points") if name in splats.params)
        columns |= _columns(["x", "y", "z"], place.reshape(len(splats), -1, 3).mean(1))
    columns |= _appearance_columns(splats)
    if splats.family == "gaussian":
        columns |= _columns([f"scale_{i}" for i in range(3)], splats["log_scales"])
        columns |= _columns([f"rot_{i}" for i in range(4)], splats["quats"])
        write_ply(path, {"vertex": columns})
        return
    for name, value in splats.params.items():
        if name not in ("opacity_logits", "sh_coeffs"):
            flat = value.reshape(len(splats), -1)
            columns |= _columns([f"recon_{name}_{i}" for i in range(flat.shape[1])], flat)
    write_ply(path, {"vertex": columns}, [f"{_FAMILY} {splats.family}"])


def _appearance_columns(splats: Splats) -> dict[str, np.ndarray]:
    return _appearance_slots(
        splats["sh_coeffs"].detach().cpu().float().numpy(), splats["opacity_logits"].detach().cpu().float().numpy()
    )


def _appearance_slots(harmonics: np.ndarray, opacities: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of [N, K, 3] and [N] by property: all coefficients of red, then of green, then of blue."""
    slots = {f"f_dc_{channel}": harmonics[:, 0, channel] for channel in range(3)}
    rest = harmonics.shape[1] - 1
    slots |= {f"f_rest_{i}": harmonics[:, 1 + i % rest, i // rest] for i in range(3 * rest)}
    return slots | {"opacity": opacities}


def read_splats(path: Path) -> Splats:
    """Read what `write_splats` writes: a PLY in the INRIA layout, of any SH degree up to 3 and in any order of
    properties, or one of another family. Takes little more memory than the result."""
    file = open_ply(path)
    family = _family(file)
    names = file.names("vertex")
    own = ["x", "y", "z", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    wanted = [*(f"f_dc_{i}" for i in range(3)), "opacity", *(own if family is None else [])]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ReconError(
            f"{path}: not a splat PLY", found=f"no property {shorten(missing)}", wanted=shorten(wanted, 20)
        )
    vertices = file.element("vertex")
    assert vertices is not None
    n = vertices.count
    slots: dict[str, np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {}
    if family is None:
        for key, properties in (("means", own[:3]), ("quats", own[6:]), ("log_scales", own[3:6])):
            arrays[key] = np.empty((n, len(properties)), np.float32)
            slots |= _columns(properties, arrays[key])
    else:
        for key, properties, row in _own_properties(path, names, family):
            flat = np.empty((n, len(properties)), np.float32)
            slots |= _columns(properties, flat)
            arrays[key] = flat.reshape(n, *row)
    rest = sum(re.fullmatch(r"f_rest_\d+", name) is not None for name in names)
    coefficients = rest // 3 + 1
    if rest % 3 or coefficients not in (1, 4, 9, 16) or any(f"f_rest_{i}" not in names for i in range(rest)):
        raise ReconError(f"{path}: f_rest", found=f"{rest} properties", wanted="0, 9, 24 or 45, numbered from 0")
    arrays["opacity_logits"] = np.empty(n, np.float32)
    arrays["sh_coeffs"] = np.empty((n, coefficients, 3), np.float32)
    _fill(file, slots | _appearance_slots(arrays["sh_coeffs"], arrays["opacity_logits"]))
    return Splats(family or "gaussian", {name: torch.from_numpy(value) for name, value in arrays.items()})


def _family(file: PlyFile) -> str | None:
    """What a comment of ours says; None in other files."""
    found = (re.fullmatch(rf"{_FAMILY} (\w+)", comment) for comment in file.comments)
    return next((one.group(1) for one in found if one), None)


# Shapes of a row of the parameters of families other than Gaussians; -1 is as many as there are.
_ROWS: dict[str, dict[str, tuple[int, ...]]] = {
    "exponential": {"means": (3,), "quats": (4,), "log_scales": (3,), "shape_logits": ()},
    "surfel": {"means": (3,), "quats": (4,), "log_scales": (2,)},
    "triangle": {"vertices": (3, 3), "log_sigmas": ()},
    "convex": {"points": (-1, 3), "log_deltas": (), "log_sigmas": ()},
}


def _own_properties(path: Path, names: Sequence[str], family: str) -> list[tuple[str, list[str], tuple[int, ...]]]:
    """Parameter, its properties and the shape of a row, for all that a family has of its own."""
    if family not in _ROWS:
        raise ReconError(f"{path}: splats of the family {family!r}", wanted=f"gaussian, {', '.join(_ROWS)}")
    found = []
    for name, row in _ROWS[family].items():
        own = [key for key in names if re.fullmatch(rf"recon_{name}_\d+", key)]
        own.sort(key=lambda key: int(key.rpartition("_")[2]))
        fits = len(own) == np.prod(row) if -1 not in row else 9 <= len(own) <= 24 and len(own) % 3 == 0
        if not fits:
            raise ReconError(f"{path}: recon_{name}", found=f"{len(own)} properties", wanted=f"those of a {family}")
        found.append((name, own, (len(own) // 3, 3) if -1 in row else row))
    return found


def write_points(path: Path, points: Points) -> None:
    """Write a point cloud with 8-bit colours; normals as nx ny nz and scales as radius where there are any."""
    columns = _columns(["x", "y", "z"], points.positions)
    if points.normals is not None:
        columns |= _columns(["nx", "ny", "nz"], points.normals)
    colors = np.rint(points.colors.detach().cpu().numpy() * 255).clip(0, 255).astype(np.uint8)
    columns |= dict(zip(("red", "green", "blue"), colors.T, strict=True))
    if points.scales is not None:
        columns |= _columns(["radius"], points.scales[:, None])
    write_ply(path, {"vertex": columns})


def read_points(path: Path) -> Points:
    """Read a point cloud. Colours are red green blue (whole numbers of their type, or floats in [0, 1]), the band-0
    harmonics of a splat file, or mid-grey when the file has none of these."""
    file = open_ply(path)
    vertices = file.element("vertex")
    missing = [name for name in "xyz" if name not in file.names("vertex")]
    if missing or vertices is None or vertices.layout is None:
        raise ReconError(f"{path}: not a point cloud", found=f"no property {missing[0]}", wanted="x, y and z")
    columns = {name: np.empty(vertices.count, vertices.layout[name].newbyteorder("=")) for name in _POINT_PROPERTIES
               if name in file.names("vertex")}  # fmt: skip
    _fill(file, columns)
    positions = _stack(columns, list("xyz"))
    if not torch.isfinite(positions).all():
        raise ReconError(f"{path}: a point is not finite", fix="remove it from the file")
    if all(name in columns for name in ("red", "green", "blue")):
        kind = columns["red"].dtype
        colors = _stack(columns, ["red", "green", "blue"]) / (np.iinfo(kind).max if kind.kind in "iu" else 1)
    elif all(f"f_dc_{i}" in columns for i in range(3)):
        colors = spherical_harmonics.to_rgb(_stack(columns, [f"f_dc_{i}" for i in range(3)]))
    else:
        colors = torch.full_like(positions, _GREY)
    normals = _stack(columns, ["nx", "ny", "nz"]) if "nx" in columns and "ny" in columns and "nz" in columns else None
    if normals is not None and not normals.any():
        normals = None  # splat files carry zeros there
    scales = _stack(columns, ["radius"])[:, 0] if "radius" in columns else None
    return Points(positions, colors.clamp(0, 1), normals, scales)


def _columns(names: list[str], values: torch.Tensor | np.ndarray) -> dict[str, np.ndarray]:
    array = values.detach().cpu().float().numpy() if isinstance(values, torch.Tensor) else values
    return dict(zip(names, array.T, strict=True))


def _fill(file: PlyFile, slots: Mapping[str, np.ndarray]) -> None:
    """Copy properties of the vertices into columns [N], piece by piece."""
    for first, rows in file.rows("vertex"):
        for name, column in slots.items():
            column[first : first + len(rows)] = rows[name]


def _stack(columns: dict[str, np.ndarray], names: list[str]) -> torch.Tensor:
    """[N, len(names)] float32."""
    return torch.from_numpy(np.stack([columns[name] for name in names], axis=1).astype(np.float32))
