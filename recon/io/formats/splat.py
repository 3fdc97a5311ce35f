"""`.splat`: 32 bytes a Gaussian and no header. Source: the reader of antimatter15/splat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.geometry.spherical_harmonics import C0
from recon.io.formats.format import Format, array, as_splats, damaged, empty_gaussians, file_size, gaussians_of, rows
from recon.io.formats.quantize import opacity_bytes, opacity_logits, unit
from recon.scene import Scene, Splats
from recon.scene.atomic import atomic_path

_ROW = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("rotation", "u1", 4)])


def write(scene: Scene, path: Path) -> None:
    """Largest and most opaque first, for viewers that show while they load. Only the colour without direction."""
    splats = gaussians_of(scene, ".splat")
    weight = array(splats, "log_scales").sum(1, dtype=np.float64) - np.logaddexp(0, -array(splats, "opacity_logits"))
    order = np.argsort(-weight, kind="stable")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for piece in rows(len(splats)):
            which = order[piece]
            out = np.empty(len(which), _ROW)
            out["position"] = array(splats, "means")[which]
            out["scale"] = np.exp(array(splats, "log_scales")[which])
            color = array(splats, "sh_coeffs")[which, 0] * C0 + 0.5
            out["color"][:, :3] = np.rint(color.clip(0, 1) * 255)
            out["color"][:, 3] = opacity_bytes(array(splats, "opacity_logits")[which])
            out["rotation"] = np.rint(unit(array(splats, "quats")[which]) * 128 + 128).clip(0, 255)
            out.tofile(file)


def read(path: Path) -> Splats:
    """Positions and scales come back exactly, the rest in 8 bits."""
    size = file_size(path)
    if size == 0 or size % _ROW.itemsize:
        raise damaged(path, ".splat", f"{size} bytes", "a multiple of 32")
    arrays = empty_gaussians(size // _ROW.itemsize, 0)
    with path.open("rb") as file:
        for piece in rows(size // _ROW.itemsize):
            found = np.fromfile(file, _ROW, piece.stop - piece.start)
            arrays["means"][piece] = found["position"]
            scales = found["scale"]
            if not (scales >= 0).all():
                raise damaged(path, ".splat", "a size that is negative or not a number")
            arrays["log_scales"][piece] = np.log(np.maximum(scales, 1e-30))
            arrays["sh_coeffs"][piece, 0] = (found["color"][:, :3] / 255 - 0.5) / C0
            arrays["opacity_logits"][piece] = opacity_logits(found["color"][:, 3])
            arrays["quats"][piece] = unit((found["rotation"].astype(np.float64) - 128) / 128)
    return as_splats(arrays)


FORMAT = Format(
    "splats.splat", "32 bytes a Gaussian, no harmonics", write, read, lambda path, head: path.suffix.lower() == ".splat"
)
