"""Splats from a file as the start of an optimisation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.events import Listener, StageWarning
from recon.io.files import unreadable
from recon.io.formats import read_splats, unpacked_sog
from recon.scene import Splats
from recon.scene.edit import with_sh_degree
from recon.scene.store import DOCUMENT, SceneStore
from recon.splats.families.exponential import GAUSSIAN_SHAPE


def given_splats(path: Path) -> Splats:
    """Splats of a file, or of the scene in a folder of ours. ReconError when there are none."""
    file = unpacked_sog(path) or path
    if not file.is_dir() and file.name != DOCUMENT:
        return read_splats(file)
    splats = SceneStore(path if path.is_dir() else path.parent).load().splats
    if splats is None:
        raise ReconError(f"{path}: no splats to start from", fix="run `recon run` on its scene.yaml")
    return splats


def hash_splats(path: Path) -> str:
    """SHA-256, hex, of what `given_splats` reads. Published data of a scene never changes, so its document stands for
    them."""
    path = unpacked_sog(path) or path
    try:
        with (path / DOCUMENT if path.is_dir() else path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def given_parameters(path: Path, primitive: str, sh_degree: int, events: Listener) -> dict[str, Tensor]:
    """Parameters of the family `primitive` with harmonics of `sh_degree`.

    Gaussians may become exponentials; other changes of family are a ReconError. Says with a `StageWarning` when
    harmonics are cut off.
    """
    splats = given_splats(path)
    params = dict(splats.params)
    if (splats.family, primitive) == ("gaussian", "exponential"):
        params["shape_logits"] = torch.full((len(splats),), GAUSSIAN_SHAPE)
    elif splats.family != primitive:
        raise ReconError(
            f"splats.init.file: {path}", found=f"splats of the family {splats.family!r}", wanted=primitive,
            fix=f"set splats.primitive: {splats.family}",
        )  # fmt: skip
    if splats.sh_degree > sh_degree:
        message = f"{path} has harmonics of degree {splats.sh_degree}: splats.sh_degree = {sh_degree} cuts them off"
        events(StageWarning("splats", message))
    return dict(with_sh_degree(Splats(primitive, params), sh_degree).params)
