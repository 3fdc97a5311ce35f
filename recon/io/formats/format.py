"""What a file format must say about itself, and what the formats of splats share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.io.files import unreadable
from recon.io.surface import as_gaussians
from recon.scene import Scene, Splats

ROWS = 1 << 14
"""Splats that are converted at a time."""
MAX_EXPANSION = 100
"""A compressed file that claims to unpack to more than this many times its size (and a megabyte) is refused: real ones
stay below 10."""


@dataclass(frozen=True)
class Format:
    """One format. A new one is a file in this package with such an object, and a line in `FORMATS`."""

    file: str
    """Name of the file or folder that is written by default, its suffix the format's own."""
    about: str
    """What it holds, in a few words."""
    write: Callable[[Scene, Path], None]
    """Writes a scene, through a temporary file. ReconError when the format cannot hold it."""
    read: Callable[[Path], Splats] | None = None
    """Reads splats; None for formats that are written only, or read as captures. ReconError for damaged files."""
    detect: Callable[[Path, bytes], bool] | None = None
    """Whether a file with these first bytes (up to 4096) is of the format."""
    folder: bool = False
    """Whether a folder is written."""
    splats: Callable[[Scene], bool] = lambda scene: True
    """Whether splats of the scene are written, and choosing among them means something."""


def splats_of(scene: Scene) -> Splats:
    """The splats of a scene that has some."""
    if scene.splats is None:
        raise ReconError("the scene has no splats yet", fix="run `recon run` on its scene.yaml without --until poses")
    return scene.splats


def gaussians_of(scene: Scene, what: str) -> Splats:
    """The splats as Gaussians. ReconError, naming the format `what`, for families that are nothing like them."""
    splats = splats_of(scene)
    if splats.family in ("triangle", "convex"):
        fix = "export --format mesh, ply or glb" if splats.family == "triangle" else "export --format ply or glb"
        raise ReconError(f"{what} holds Gaussians only", found=f"splats of the family {splats.family!r}", fix=fix)
    return as_gaussians(splats)


def rows(count: int) -> Iterator[slice]:
    """Slices of `ROWS` rows."""
    return (slice(first, min(first + ROWS, count)) for first in range(0, count, ROWS))


def array(splats: Splats, name: str, piece: slice = slice(None)) -> np.ndarray:
    """Rows of a parameter as float32."""
    return splats[name][piece].detach().cpu().float().numpy()


def empty_gaussians(count: int, sh_degree: int) -> dict[str, np.ndarray]:
    """Arrays to fill, by parameter."""
    shapes = {
        "means": (3,),
        "quats": (4,),
        "log_scales": (3,),
        "opacity_logits": (),
        "sh_coeffs": ((sh_degree + 1) ** 2, 3),
    }
    return {name: np.zeros((count, *shape), np.float32) for name, shape in shapes.items()}


def as_splats(arrays: dict[str, np.ndarray]) -> Splats:
    """What `empty_gaussians` became."""
    return Splats("gaussian", {name: torch.from_numpy(value) for name, value in arrays.items()})


def damaged(path: Path, kind: str, found: object, wanted: object = None) -> ReconError:
    """The message for a file that is not whole."""
    return ReconError(f"{path}: not a whole {kind} file", found=found, wanted=wanted, fix="copy or export it again")


def refuse_bomb(path: Path, kind: str, size: int, unpacked: int) -> None:
    """Raise when `size` bytes claim to hold `unpacked` ones, before anything is allocated."""
    if unpacked > MAX_EXPANSION * size + (1 << 20):
        raise damaged(path, kind, f"{size} bytes that claim to unpack to {unpacked}")


def file_size(path: Path) -> int:
    """Bytes of a file; ReconError when it cannot be read."""
    try:
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
