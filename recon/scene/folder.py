"""Finding the scene that a command is about."""

from __future__ import annotations

from pathlib import Path

from recon.errors import ReconError


def output_folder(path: Path) -> Path:
    """The output folder of a run, given as itself or as its scene.gltf. Raises ReconError when there is no scene."""
    folder = path.parent if path.name == "scene.gltf" else path
    if path.suffix in (".yaml", ".yml"):
        raise ReconError(f"{path}: this command takes the output folder of a run", fix="give what `output` in it says")
    if not folder.is_dir():
        raise ReconError(f"{folder}: no such folder", wanted="the output folder of a run", fix="check the path")
    if not (folder / "scene.gltf").is_file():
        raise ReconError(
            f"{folder}: no scene.gltf in it", wanted="the output folder of a run", fix="run `recon run` first"
        )
    return folder
