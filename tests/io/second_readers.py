"""Other people's readers of splat files, none of which shares code with ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.io.ply import read_splats
from recon.scene import Splats

TOOLS = Path(__file__).resolve().parents[1] / "tools" / "node_modules"


def node_tool(name: str) -> Path:
    """A command of tests/tools; skips the test where Node or the package is missing."""
    path = TOOLS / ".bin" / name
    if shutil.which("node") is None or not path.exists():
        pytest.skip(f"no {name}: run `npm install --force --no-package-lock` in tests/tools")
    return path


def splat_transform(path: Path, *options: str, to: Path | None = None) -> Path:
    """`path` converted to PLY, or to the format of `to`, by PlayCanvas' program."""
    out = to or path.with_name(path.name + ".converted.ply")
    command = [str(node_tool("splat-transform")), "-q", "-w", *options, str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr + done.stdout
    return out


def by_splat_transform(path: Path) -> Splats:
    """The PLY that it makes is read by plyfile, so that none of our code is between."""
    return by_plyfile(splat_transform(path))


def by_gsply(path: Path) -> Splats:
    """gsply, which reads PLY and SPZ."""
    gsply = pytest.importorskip("gsply")
    data = gsply.read_spz(path) if path.suffix == ".spz" else gsply.plyread(path)
    rest = data.shN if data.shN is not None else np.zeros((len(data.means), 0, 3), np.float32)
    arrays = {
        "means": data.means, "quats": data.quats, "log_scales": data.scales,
        "opacity_logits": np.asarray(data.opacities).reshape(-1),
        "sh_coeffs": np.concatenate([data.sh0[:, None], rest.reshape(len(rest), -1, 3)], axis=1),
    }  # fmt: skip
    return Splats("gaussian", {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})


def by_plyfile(path: Path) -> Splats:
    """An uncompressed PLY."""
    plyfile = pytest.importorskip("plyfile")
    vertex = plyfile.PlyData.read(path)["vertex"]

    def stack(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.array(vertex[name]) for name in names], axis=1))

    rest = sum(one.name.startswith("f_rest_") for one in vertex.properties)
    harmonics = stack("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:
        more = stack(*(f"f_rest_{i}" for i in range(rest))).reshape(-1, 3, rest // 3).transpose(1, 2)
        harmonics = torch.cat([harmonics, more], dim=1)
    return Splats(
        "gaussian",
        {
            "means": stack("x", "y", "z"), "quats": stack("rot_0", "rot_1", "rot_2", "rot_3"),
            "log_scales": stack("scale_0", "scale_1", "scale_2"), "opacity_logits": stack("opacity")[:, 0],
            "sh_coeffs": harmonics,
        },
    )  # fmt: skip


def by_pygltflib(path: Path) -> Splats:
    """A GLB whose only splats are Gaussians: attributes by the names of the extension, rotations xyzw."""
    pygltflib = pytest.importorskip("pygltflib")
    document = pygltflib.GLTF2().load(str(path))
    primitive = next(p for m in document.meshes for p in m.primitives if p.extensions)
    attributes: dict[str, int] = json.loads(primitive.attributes.to_json())

    def column(name: str, width: int) -> np.ndarray:
        accessor = document.accessors[attributes[name]]
        view = document.bufferViews[accessor.bufferView]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        stride = (view.byteStride or 4 * width) // 4
        data = np.frombuffer(document.binary_blob(), np.float32, stride * (accessor.count - 1) + width, start)
        return np.lib.stride_tricks.as_strided(data, (accessor.count, width), (4 * stride, 4)).copy()

    khr = "KHR_gaussian_splatting:"
    degree = max(int(name.split("_")[-3]) for name in attributes if "SH_DEGREE" in name)
    harmonics = [column(f"{khr}SH_DEGREE_{l}_COEF_{m}", 3) for l in range(degree + 1) for m in range(2 * l + 1)]
    return _activated(
        column("POSITION", 3), column(f"{khr}ROTATION", 4)[:, [3, 0, 1, 2]], column(f"{khr}SCALE", 3),
        column(f"{khr}OPACITY", 1)[:, 0], np.stack(harmonics, axis=1),
    )  # fmt: skip


def by_pxr(path: Path) -> Splats:
    """A USD stage, by Pixar's library."""
    pytest.importorskip("pxr", reason="pip install usd-core")
    from pxr import Usd, UsdVol

    stage = Usd.Stage.Open(str(path))  # prims live as long as it does
    field = UsdVol.ParticleField3DGaussianSplat.Get(stage, "/scene/splats")
    turns = [[turn.GetReal(), *turn.GetImaginary()] for turn in field.GetOrientationsAttr().Get()]
    means = np.array(field.GetPositionsAttr().Get())
    harmonics = np.array(field.GetRadianceSphericalHarmonicsCoefficientsAttr().Get())
    return _activated(
        means, np.array(turns, np.float32), np.array(field.GetScalesAttr().Get()),
        np.array(field.GetOpacitiesAttr().Get()), harmonics.reshape(len(means), -1, 3),
    )  # fmt: skip


def _activated(
    means: np.ndarray, quats: np.ndarray, scales: np.ndarray, opacities: np.ndarray, harmonics: np.ndarray
) -> Splats:
    """Of formats that store scales and opacities as they are."""
    a = opacities.astype(np.float64)
    with np.errstate(divide="ignore"):
        arrays = {"means": means, "quats": quats, "log_scales": np.log(scales), "opacity_logits": np.log(a / (1 - a)),
                  "sh_coeffs": harmonics}  # fmt: skip
    return Splats("gaussian", {name: torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()})


def by_us(path: Path) -> Splats:
    """Our own reader."""
    from recon.io.formats import read_splats as read_any

    return read_splats(path) if path.suffix == ".ply" and "compressed" not in path.name else read_any(path)
