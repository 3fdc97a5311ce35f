"""Files of other programs: `FORMATS` says what can be written and read."""

from __future__ import annotations

from pathlib import Path

import torch

from recon.errors import ReconError
from recon.io.files import unreadable
from recon.io.formats import colmap_folder, compressed_ply, glb, nerfstudio_folder, sog, splat, spz, tables, usd
from recon.io.formats.format import Format, rows
from recon.scene import Splats
from recon.scene.edit import select_from

FORMATS: dict[str, Format] = {
    "ply": tables.PLY,
    "gaussians": tables.GAUSSIANS,
    "compressed-ply": compressed_ply.FORMAT,
    "splat": splat.FORMAT,
    "spz": spz.FORMAT,
    "spz4": spz.FORMAT_4,
    "sog": sog.FORMAT,
    "glb": glb.FORMAT,
    "usd": usd.FORMAT,
    "mesh": tables.MESH,
    "obj": tables.OBJ,
    "ply-mesh": tables.PLY_MESH,
    "stl": tables.STL,
    "points": tables.POINTS,
    "colmap": colmap_folder.FORMAT,
    "colmap-text": colmap_folder.FORMAT_TEXT,
    "nerfstudio": nerfstudio_folder.FORMAT,
}
"""By the name on the command line. A new format is a line here and a name in `recon.cli.export`."""

_MORE_SPECIAL_FIRST = ("compressed-ply", "ply", "spz", "glb", "sog", "usd", "splat")


def format_of(path: Path) -> str | None:
    """The name of the format of splats that a file is in, by its content, or by its suffix where the content says
    nothing; None when it is none that can be read. ReconError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise unreadable(path, error) from None
    for name in _MORE_SPECIAL_FIRST:
        detect = FORMATS[name].detect
        if detect is not None and detect(path, head):
            return name
    return None


def unpacked_sog(path: Path) -> Path | None:
    """The meta.json of a folder with what a .sog file holds; None for anything else."""
    meta = path / "meta.json"
    return meta if meta.is_file() and any(path.glob("means*.webp")) else None


def read_splats(path: Path, drop_broken: bool = False) -> Splats:
    """Splats from a file in any format that can be read, every number of them finite.

    drop_broken: leave out splats with a number that is not finite instead of refusing the file.
    """
    name = format_of(path)
    read = FORMATS[name].read if name else None
    if read is None:
        known = ", ".join(FORMATS[one].file.partition(".")[2] for one in _MORE_SPECIAL_FIRST)
        raise ReconError(f"{path}: not splats in a known format", wanted=known, fix="convert it to PLY")
    splats = read(path)
    good = _finite(splats)
    bad = len(splats) - int(good.sum())
    if bad == 0:
        return splats
    if not drop_broken or bad == len(splats):
        raise ReconError(
            f"{path}: splats with values that are not finite",
            found=f"{bad} of {len(splats)}",
            fix="export the file again, or leave them out with --drop-broken",
        )
    family, params = splats.family, dict(splats.params)
    del splats
    return select_from(family, params, good)


def _finite(splats: Splats) -> torch.Tensor:
    """[N] bool."""
    good = torch.ones(len(splats), dtype=torch.bool)
    for value in splats.params.values():
        for piece in rows(len(splats)):  # the question makes numbers as large as the answer is small
            good[piece] &= value[piece].flatten(1).isfinite().all(1) if value.ndim > 1 else value[piece].isfinite()
    return good
