"""A finished run of nerfstudio's splatfacto (or of a method that stores its Gaussians the same way).

Source: nerfstudio 1.1.5. A run's folder has config.yml, dataparser_transforms.json and nerfstudio_models/step-N.ckpt.
Its world is `scale * transform @ source`, source being the coordinates that the data had before `applied_transform`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from recon.errors import ReconError
from recon.io.checks import brief, number
from recon.io.files import load_json_object, read_text
from recon.scene import Splats
from recon.scene.transform import Similarity

CONFIG = "config.yml"
_MODELS, _TRANSFORMS = "nerfstudio_models", "dataparser_transforms.json"

_NAMES = {
    "means": "means", "quats": "quats", "log_scales": "scales", "opacity_logits": "opacities", "dc": "features_dc",
}  # fmt: skip


_SCALAR: Any = np.float64(0).__reduce__()[0]
SAFE_GLOBALS: tuple[Any, ...] = (_SCALAR, np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32)))
"""What nerfstudio's schedulers leave in a checkpoint beside tensors. torch loads these when told, and runs nothing."""


@dataclass(frozen=True)
class NerfstudioRun:
    """What a run holds for us."""

    splats: Splats
    """In the run's own coordinates."""
    run_from_source: Similarity
    """From the source's coordinates to the run's."""
    data: Path | None
    """Folder or file of the photos and cameras, as the configuration names it."""
    antialias: bool
    """Whether it was trained with antialiasing."""
    checkpoint: Path
    """The file that the splats are from."""


def is_run(path: Path) -> bool:
    """Whether `path` is the folder of a run, or its config.yml."""
    folder = path.parent if path.name == CONFIG else path
    return (folder / CONFIG).is_file() and (folder / _MODELS).is_dir()


def read_run(path: Path) -> NerfstudioRun:
    """Read the newest checkpoint of a run. Nothing in the files is executed."""
    folder = path.parent if path.name == CONFIG else path
    config = _plain_yaml(folder / CONFIG)
    model = _section(_section(config, "pipeline"), "model")
    checkpoint = _newest(folder)
    return NerfstudioRun(
        _splats(checkpoint),
        read_transform(folder / _TRANSFORMS),
        _data(config),
        model.get("rasterize_mode") == "antialiased",
        checkpoint,
    )


def read_transform(path: Path) -> Similarity:
    """A dataparser_transforms.json: from the source's coordinates to the run's."""
    data = load_json_object(path)
    scale = number(data, "scale", str(path))
    try:
        matrix = np.array(data.get("transform"), np.float64).reshape(3, 4)
    except (TypeError, ValueError):
        raise ReconError(f"{path}: transform", found=brief(data.get("transform")), wanted="a 3x4 matrix") from None
    full = torch.eye(4, dtype=torch.float64)
    full[:3] = torch.from_numpy(matrix) * (1.0 if scale is None else scale)
    return Similarity.of(full, f"{path}: transform")


def _newest(folder: Path) -> Path:
    def step(path: Path) -> int:
        found = re.fullmatch(r"step-(\d+)\.ckpt", path.name)
        return int(found[1]) if found else -1

    files = sorted((folder / _MODELS).glob("step-*.ckpt"), key=step)
    if not files:
        raise ReconError(f"{folder / _MODELS}: no checkpoint", wanted="step-N.ckpt", fix="train for longer")
    return files[-1]


def _splats(checkpoint: Path) -> Splats:
    try:
        with torch.serialization.safe_globals(list(SAFE_GLOBALS)):
            return Splats("gaussian", _parameters(checkpoint))
    except Exception as error:  # whatever unpickling a damaged file raises
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReconError(
            f"{checkpoint}: no checkpoint of splatfacto",
            found=first[:100],
            fix="export it with ns-export gaussian-splat",
        ) from None


def _parameters(checkpoint: Path) -> dict[str, Tensor]:
    """Copies, each with the file opened anew: it is mapped, and what was read of it counts as memory meanwhile."""
    params = {ours: _mapped(checkpoint, theirs).float().clone() for ours, theirs in _NAMES.items()}
    count = len(params["means"])
    params["opacity_logits"] = params["opacity_logits"].reshape(count)
    dc = params.pop("dc").reshape(count, 3)
    rest = _mapped(checkpoint, "features_rest").reshape(count, -1, 3)
    params["sh_coeffs"] = torch.empty(count, 1 + rest.shape[1], 3)
    params["sh_coeffs"][:, 0], params["sh_coeffs"][:, 1:] = dc, rest
    return params


def _mapped(checkpoint: Path, name: str) -> Tensor:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    tensors: Mapping[str, Tensor] = state["pipeline"]
    key = next((key for key in tensors if key.endswith(f"gauss_params.{name}")), None)
    if key is None:
        raise KeyError(f"no {name} in it")
    return tensors[key]


def _data(config: Mapping[str, Any]) -> Path | None:
    parser = _section(_section(_section(config, "pipeline"), "datamanager"), "dataparser")
    for parts in (
        parser.get("data"),
        _section(_section(config, "pipeline"), "datamanager").get("data"),
        config.get("data"),
    ):
        if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
            path = Path(*parts)
            if path != Path():
                return path
    return None


class _Loader(yaml.SafeLoader):
    """Python objects are read as the plain lists and mappings that they are written as."""


def _anything(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _anything)


def _plain_yaml(path: Path) -> Mapping[str, Any]:
    try:
        data = yaml.load(read_text(path), _Loader)
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ReconError(f"{path}: not a configuration of nerfstudio", found=str(error).splitlines()[0]) from None
    return data if isinstance(data, dict) else {}


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}
