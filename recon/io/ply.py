"""PLY: splats (Gaussians in the INRIA layout) and coloured point clouds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import spherical_harmonics
from recon.io.files import read_bytes, shorten
from recon.scene import Points, Splats
from recon.scene.atomic import atomic_path

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_FAMILY = "recon splats of the family"
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
        _write(path, columns)
        return
    for name, value in splats.params.items():
        if name not in ("opacity_logits", "sh_coeffs"):
            flat = value.reshape(len(splats), -1)
            columns |= _columns([f"recon_{name}_{i}" for i in range(flat.shape[1])], flat)
    _write(path, columns, [f"{_FAMILY} {splats.family}"])


def _appearance_columns(splats: Splats) -> dict[str, np.ndarray]:
    harmonics = splats["sh_coeffs"].detach().cpu().float().numpy()
    # All coefficients of red, then of green, then of blue.
    rest = harmonics[:, 1:].transpose(0, 2, 1).reshape(len(harmonics), 3 * (harmonics.shape[1] - 1))
    columns = _columns([f"f_dc_{i}" for i in range(3)], harmonics[:, 0])
    columns |= _columns([f"f_rest_{i}" for i in range(rest.shape[1])], rest)
    return columns | _columns(["opacity"], splats["opacity_logits"][:, None])


def read_splats(path: Path) -> Splats:
    """Read what `write_splats` writes: a PLY in the INRIA layout, of any SH degree up to 3 and in any order of
    properties, or one of another family."""
    columns, family = _read_vertices(path)
    own = ["x", "y", "z", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    wanted = [*(f"f_dc_{i}" for i in range(3)), "opacity", *(own if family is None else [])]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ReconError(
            f"{path}: not a splat PLY", found=f"no property {shorten(missing)}", wanted=shorten(wanted, 20)
        )
    appearance = _read_appearance(path, columns)
    if family is None:
        params = {
            "means": _stack(columns, ["x", "y", "z"]),
            "quats": _stack(columns, [f"rot_{i}" for i in range(4)]),
            "log_scales": _stack(columns, [f"scale_{i}" for i in range(3)]),
        }
    else:
        params = _read_own(path, columns, family)
    return Splats(family or "gaussian", {name: value.contiguous() for name, value in {**params, **appearance}.items()})


def _read_appearance(path: Path, columns: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    rest_names = sorted((name for name in columns if re.fullmatch(r"f_rest_\d+", name)), key=lambda n: int(n[7:]))
    coefficients = len(rest_names) // 3 + 1
    if len(rest_names) % 3 or coefficients not in (1, 4, 9, 16):
        raise ReconError(f"{path}: f_rest", found=f"{len(rest_names)} properties", wanted="0, 9, 24 or 45")
    dc = _stack(columns, [f"f_dc_{i}" for i in range(3)])
    rest = _stack(columns, rest_names).reshape(len(dc), 3, coefficients - 1).transpose(1, 2)
    return {
        "opacity_logits": _stack(columns, ["opacity"])[:, 0],
        "sh_coeffs": torch.cat([dc[:, None], rest], dim=1),
    }


# Shapes of a row of the parameters of families other than Gaussians; -1 is as many as there are.
_ROWS: dict[str, dict[str, tuple[int, ...]]] = {
    "exponential": {"means": (3,), "quats": (4,), "log_scales": (3,), "shape_logits": ()},
    "surfel": {"means": (3,), "quats": (4,), "log_scales": (2,)},
    "triangle": {"vertices": (3, 3), "log_sigmas": ()},
    "convex": {"points": (-1, 3), "log_deltas": (), "log_sigmas": ()},
}


def _read_own(path: Path, columns: dict[str, np.ndarray], family: str) -> dict[str, torch.Tensor]:
    if family not in _ROWS:
        raise ReconError(f"{path}: splats of the family {family!r}", wanted=f"gaussian, {', '.join(_ROWS)}")
    params = {}
    for name, row in _ROWS[family].items():
        names = [key for key in columns if re.fullmatch(rf"recon_{name}_\d+", key)]
        names.sort(key=lambda key: int(key.rpartition("_")[2]))
        fits = len(names) == np.prod(row) if -1 not in row else len(names) >= 9 and len(names) % 3 == 0
        if not fits:
            raise ReconError(f"{path}: recon_{name}", found=f"{len(names)} properties", wanted=f"those of a {family}")
        values = _stack(columns, names)
        params[name] = values.reshape(len(values), *row)
    return params


def write_points(path: Path, points: Points) -> None:
    """Write a point cloud with 8-bit colours; normals as nx ny nz and scales as radius where there are any."""
    columns = _columns(["x", "y", "z"], points.positions)
    if points.normals is not None:
        columns |= _columns(["nx", "ny", "nz"], points.normals)
    colors = np.rint(points.colors.detach().cpu().numpy() * 255).clip(0, 255).astype(np.uint8)
    columns |= dict(zip(("red", "green", "blue"), colors.T, strict=True))
    if points.scales is not None:
        columns |= _columns(["radius"], points.scales[:, None])
    _write(path, columns)


def read_points(path: Path) -> Points:
    """Read a point cloud. Colours are red green blue (whole numbers of their type, or floats in [0, 1]), the band-0
    harmonics of a splat file, or mid-grey when the file has none of these."""
    columns, _ = _read_vertices(path)
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise ReconError(f"{path}: not a point cloud", found=f"no property {missing[0]}", wanted="x, y and z")
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


def _stack(columns: dict[str, np.ndarray], names: list[str]) -> torch.Tensor:
    """[N, len(names)] float32."""
    count = len(next(iter(columns.values())))
    result = np.empty((count, len(names)), np.float32)
    for index, name in enumerate(names):
        result[:, index] = columns[name]
    return torch.from_numpy(result)


def _write(path: Path, columns: dict[str, np.ndarray], comments: Iterable[str] = ()) -> None:
    layout = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    rows = np.empty(len(next(iter(columns.values()))), layout)
    for name, column in columns.items():
        rows[name] = column
    kinds = {"f4": "float", "u1": "uchar"}
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    lines += [f"element vertex {len(rows)}"]
    lines += [f"property {kinds[layout[name].str[1:]]} {name}" for name in columns]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join([*lines, "end_header"]) + "\n").encode())
        rows.tofile(file)


@dataclass(frozen=True)
class _Header:
    """The part of a PLY before its data."""

    format: str
    count: int
    layout: np.dtype
    """One vertex, in the byte order of the file."""
    length: int
    """Bytes before the data."""
    family: str | None
    """What a comment of ours says; None in other files."""


def _read_vertices(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """Properties of the element "vertex" by name, each [N], and the family of splats if a comment names one."""
    data = read_bytes(path)
    header = _read_header(path, data)
    if header.format == "ascii":
        lines = data[header.length :].decode("ascii", errors="replace").splitlines()[: header.count]
        names = header.layout.names or ()
        try:
            table = np.array([line.split()[: len(names)] for line in lines], np.float64)
        except ValueError:
            raise _broken(path, "a row that is not numbers") from None
        if len(table) != header.count or (header.count and table.ndim != 2):
            raise _broken(path, f"{len(table)} of {header.count} vertices")
        table = table.reshape(header.count, len(names))
        return {name: table[:, i].astype(header.layout[name]) for i, name in enumerate(names)}, header.family
    present = (len(data) - header.length) // header.layout.itemsize
    if present < header.count:
        raise _broken(path, f"{present} of {header.count} vertices")
    rows = np.frombuffer(data, header.layout, header.count, header.length)
    return {name: rows[name] for name in header.layout.names or ()}, header.family


def _read_header(path: Path, data: bytes) -> _Header:
    end = data.find(b"end_header")
    newline = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or newline < 0:
        raise _broken(path, "no PLY header")
    format_name, count, element = "", -1, ""
    properties: list[tuple[str, str]] = []
    for words in _header_lines(data[:end]):
        match words:
            case ["format", name, _] if name in _ORDERS:
                format_name = name
            case ["element", "vertex", number] if number.isdecimal() and not element:
                element, count = "vertex", int(number)
            case ["element", _, _] if element:
                element = "other"  # what follows the vertices is of no interest
            case ["property", kind, name] if element == "vertex" and kind in _TYPES:
                properties.append((name, _TYPES[kind]))
            case ["property", *_] if element == "other":
                pass
            case _:
                raise _broken(path, f"the header line {' '.join(words)!r}")
    if not format_name or count < 0 or not properties or len({name for name, _ in properties}) < len(properties):
        raise _broken(path, "a header without format and vertices, or with a property twice")
    order = _ORDERS[format_name]
    found = re.search(rf"^comment {_FAMILY} (\w+)\s*$", data[:end].decode("ascii", errors="replace"), re.MULTILINE)
    layout = np.dtype([(name, order + kind) for name, kind in properties])
    return _Header(format_name, count, layout, newline + 1, found.group(1) if found else None)


def _header_lines(header: bytes) -> Iterator[list[str]]:
    for line in header.decode("ascii", errors="replace").splitlines()[1:]:
        words = line.split()
        if words and words[0] not in ("comment", "obj_info"):
            yield words


def _broken(path: Path, found: str) -> ReconError:
    return ReconError(f"{path}: not a whole PLY file of vertices", found=found, fix="copy or export the file again")
