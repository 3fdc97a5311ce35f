"""Texture coordinates by xatlas, in a process of their own: unwrapping cannot be interrupted and may take for ever."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PADDING = 4
"""Texels between charts: bilinear look-ups and the first mips stay within their own."""

_WORK = """
import sys, numpy, xatlas
given = numpy.load(sys.argv[1])
atlas = xatlas.Atlas()
atlas.add_mesh(given["vertices"], given["faces"])
charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
packing.resolution, packing.padding, packing.create_image = int(sys.argv[3]), int(sys.argv[4]), False
atlas.generate(charts, packing)
rows, faces, uvs = atlas[0]
numpy.savez(sys.argv[2], rows=rows, faces=faces, uvs=uvs, charts=atlas.chart_count)
"""


@dataclass(frozen=True)
class Unwrapped:
    """Texture coordinates, with vertices doubled along the charts' borders."""

    rows: Tensor
    """[V'] int64, the vertex that each new one is a copy of."""
    faces: Tensor
    """[F, 3] int64, in terms of the new vertices."""
    uvs: Tensor
    """[V', 2] float32 in [0, 1], v downwards."""
    charts: int
    """Number of pieces."""


def unwrap(vertices: Tensor, faces: Tensor, size: int, seconds: float) -> Unwrapped | None:
    """Charts for a texture of about `size` x `size` texels; None when that takes longer than `seconds`, or fails."""
    with tempfile.TemporaryDirectory(prefix="recon-unwrap-") as name:
        given, made = Path(name) / "given.npz", Path(name) / "made.npz"
        np.savez(given, vertices=vertices.float().numpy(), faces=faces.numpy().astype(np.uint32))
        command = [sys.executable, "-c", _WORK, str(given), str(made), str(size), str(PADDING)]
        try:
            done = subprocess.run(command, timeout=seconds, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0 or not made.is_file():
            return None
        with np.load(made) as found:
            return Unwrapped(
                torch.from_numpy(found["rows"].astype(np.int64)),
                torch.from_numpy(found["faces"].astype(np.int64)),
                torch.from_numpy(found["uvs"].astype(np.float32)),
                int(found["charts"]),
            )
