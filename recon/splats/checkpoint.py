"""The state of an optimisation in one file, from which it continues bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.priors import PriorConfig
from recon.scene.atomic import atomic_path
from recon.scene.nodes import View
from recon.splats.config import SplatsConfig
from recon.splats.families import Family
from recon.splats.guidance.views import NovelViews
from recon.splats.poses import Cameras
from recon.splats.start import hash_splats
from recon.splats.state import TrainState

FILE_NAME = "checkpoint.safetensors"
_FORMAT = 1
# These change what is written and shown, or where it is computed, and not what.
_IRRELEVANT = ("checkpoint_every", "report_every", "device")


@dataclass
class Journal:
    """What has been measured so far; goes into checkpoints so that a resumed run reports as if never stopped."""

    history: list[dict[str, float]] = field(default_factory=list)
    """Rows with iteration, loss, psnr (dB) and num_primitives."""
    psnr: float | None = None
    """Running mean over training photos, dB."""
    seconds: float = 0.0
    """Wall time of all parts of the run."""
    stop: int | None = None
    """Iteration to stop after, where `EarlyStopConfig` asked for one to be found."""


def fingerprint(config: SplatsConfig, views: Sequence[View], seed: int, refine_poses: bool = False) -> str:
    """Hash of everything that decides the course of an optimisation except the pixels of the photos."""
    settings = {key: value for key, value in asdict(config).items() if key not in _IRRELEVANT}
    # A file's content counts and its name does not.
    settings["init"]["file"] = config.init.file and hash_splats(config.init.file)
    settings["priors"] = [_prior(prior) for prior in config.priors]
    cameras = [
        [view.name, view.camera.width, view.camera.height, view.camera.K.tolist(), view.world_to_camera.tolist()]
        for view in views
    ]
    text = json.dumps([settings, cameras, seed, refine_poses], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _prior(prior: PriorConfig) -> dict[str, Any]:
    """Settings of a prior; of files their content."""
    plain = {key: value for key, value in asdict(prior).items() if not isinstance(value, Path)}
    return plain | {"content": prior.content()}


def save_checkpoint(folder: Path, state: TrainState, journal: Journal, key: str) -> Path:
    """Write `folder/checkpoint.safetensors`, replacing an older one at once. Returns its path.

    The tensors are the parameters, Adam's moments, the strategy's statistics and the generator's state; the header
    holds everything else as JSON, so that no crash can leave two halves that do not belong together.
    """
    from safetensors.torch import save_file

    tensors = _tensors(state)
    header = {
        "format": _FORMAT,
        "fingerprint": key,
        "family": state.family.name,
        "iteration": state.iteration,
        "extent": state.extent,
        "order": state.order,
        "journal": asdict(journal),
    }
    if state.twin is not None:
        tensors |= {f"twin/{name}": value for name, value in _tensors(state.twin).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"recon": json.dumps(header)})
    return path


def _tensors(state: TrainState) -> dict[str, Tensor]:
    """All of a state, by group/name, but its twin."""
    tensors = {"generator": state.generator.get_state()}
    for group in ("params", "exp_avg", "exp_avg_sq", "stats"):
        tensors |= {
            f"{group}/{name}": value.detach().cpu().contiguous() for name, value in getattr(state, group).items()
        }
    if state.cameras is not None:
        tensors |= {f"cameras/{name}": value for name, value in state.cameras.tensors().items()}
    if state.novel is not None:
        tensors |= {f"novel/{name}": value.cpu().contiguous() for name, value in state.novel.tensors().items()}
    return tensors | {f"learnt/{name}": value.contiguous() for name, value in state.learnt.items()}


def load_checkpoint(
    folder: Path, family: Family, key: str, cameras: Cameras | None = None
) -> tuple[TrainState, Journal]:
    """The state that `save_checkpoint` wrote. Raises ReconError when it is missing, damaged or of another run.

    cameras: those that the run began with, where they are refined.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE_NAME
    again = "start again without --resume"
    if not path.is_file():
        raise ReconError(f"{path}: no checkpoint to resume from", fix=again)
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads(file.metadata()["recon"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["format"] != _FORMAT:
            raise ReconError(f"{path}: checkpoint", found=f"format {header['format']}", wanted=_FORMAT, fix=again)
        if header["fingerprint"] != key or header["family"] != family.name:
            raise ReconError(
                f"{path}: the checkpoint is of a run with other settings, views or seed",
                fix=f"restore those settings or {again}",
            )
        return _state(tensors, header, family, cameras), Journal(**header["journal"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise ReconError(f"{path}: the checkpoint cannot be read: {error}", fix=again) from error


def _state(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], family: Family, cameras: Cameras | None
) -> TrainState:
    """The state that `_tensors` took apart, with its twin where there is one: they go through the photos together."""
    groups: dict[str, dict[str, Tensor]] = {
        name: {} for name in ("params", "exp_avg", "exp_avg_sq", "stats", "cameras", "novel", "learnt", "twin")
    }
    for name, value in tensors.items():
        group, slash, rest = name.partition("/")
        if slash:
            groups[group][rest] = value
    generator = torch.Generator()
    generator.set_state(tensors["generator"])
    return TrainState(
        family=family,
        params={name: value.requires_grad_() for name, value in groups["params"].items()},
        exp_avg=groups["exp_avg"],
        exp_avg_sq=groups["exp_avg_sq"],
        generator=generator,
        extent=header["extent"],
        iteration=header["iteration"],
        stats=groups["stats"],
        cameras=None if cameras is None else cameras.restored(groups["cameras"]),
        order=header["order"],
        novel=NovelViews.restored(groups["novel"]),
        learnt=groups["learnt"],
        twin=_state(groups["twin"], header, family, cameras) if groups["twin"] else None,
    )
