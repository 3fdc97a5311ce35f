"""Other people's readers of splat files, none of which shares code with ours."""

from __future__ import annotations

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


def by_us(path: Path) -> Splats:
    """Our own reader."""
    from recon.io.formats import read_splats as read_any

    return read_splats(path) if path.suffix == ".ply" and "compressed" not in path.name else read_any(path)
