"""Named sets of values that lie between the defaults and a scene.yaml."""

from __future__ import annotations

import difflib
from pathlib import Path

import recon
from recon.errors import ReconError
from recon.pipeline.document import Document, load_yaml


def config_folder() -> Path:
    """The folder `configs`: inside the package when installed, beside it in a checkout."""
    package = Path(recon.__file__).resolve().parent
    candidates = (package / "configs", package.parent / "configs")
    for folder in candidates:
        if any(folder.glob("*.yaml")):
            return folder
    raise FileNotFoundError(f"the presets are missing from this installation: none in {candidates}")


def preset_names() -> list[str]:
    """Presets that exist, in alphabetical order."""
    return sorted(path.stem for path in config_folder().glob("*.yaml"))


def load_preset(name: object, where: str) -> Document:
    """Values of one preset. `where` says in messages who asked for it."""
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        raise ReconError(
            f"{where}: unknown preset {name!r}",
            wanted=f"one of {', '.join(names)}",
            fix=f"did you mean {near[0]!r}?" if near else None,
        )
    return load_yaml(config_folder() / f"{name}.yaml")
