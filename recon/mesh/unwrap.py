"""Texture coordinates: pieces of photos, and xatlas for the rest, in a process of its own that may take for ever."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.mesh.clean import face_areas
from recon.mesh.pieces import Pieces

PADDING = 4
"""Texels between charts: bilinear look-ups and the first mips stay within their own."""
_UNSEEN = 0.5
"""Texels along a line on what no photo shows, for each on what photos show."""


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


def unwrap(vertices: Tensor, faces: Tensor, pieces: Pieces, size: int, seconds: float) -> Unwrapped | None:
    """Charts for a texture of about `size` x `size` texels; None when that takes longer than `seconds`, or fails.

    `pieces` keep their shapes in the photos; xatlas makes charts of what is in none.
    """
    with tempfile.TemporaryDirectory(prefix="recon-unwrap-") as name:
        given, made = Path(name) / "given.npz", Path(name) / "made.npz"
        np.savez(
            given, vertices=vertices.float().numpy(), faces=faces.numpy().astype(np.uint32), shown=pieces.faces.numpy(),
            piece=pieces.piece.numpy(), corners=pieces.corners.numpy(), density=_density(vertices, faces, pieces),
        )  # fmt: skip
        script = str(Path(__file__).with_name("atlas.py"))
        command = [sys.executable, "-P", script, str(given), str(made), str(size), str(PADDING)]
        try:
            done = subprocess.run(command, timeout=seconds, capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0 or not made.is_file():
            return None
        with np.load(made) as found:
            return Unwrapped(
                torch.from_numpy(found["rows"].astype(np.int64)),
                torch.from_numpy(found["faces"]),
                torch.from_numpy(found["uvs"].astype(np.float32)),
                int(found["charts"]),
            )


def _density(vertices: Tensor, faces: Tensor, pieces: Pieces) -> float:
    """Texels a unit of length where no photo says it."""
    if not len(pieces.faces):
        return 1.0
    flat = pieces.corners[:, 1:] - pieces.corners[:, :1]
    pixels = (flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0]).abs().sum() / 2
    return _UNSEEN * float((pixels / face_areas(vertices, faces[pieces.faces]).sum().clamp(min=1e-12)).sqrt())
