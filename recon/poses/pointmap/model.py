"""What a network of pointmaps is, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError


@dataclass(frozen=True)
class Group:
    """Pointmaps in one frame, of any scale."""

    photos: tuple[int, ...]
    """Whose, by index."""
    points: tuple[Tensor, ...]
    """For each [h, w, 3] float32: where each pixel lies. The pixels cover the photo evenly, whatever its size."""
    confidence: tuple[Tensor, ...]
    """For each [h, w] float32, more is better; comparable within a group."""


class PointmapModel(Protocol):
    """One network. A new one is a file with such a class and a line in `POINTMAPS`."""

    package: ClassVar[str]
    """What is imported."""
    install: ClassVar[str]
    """The command that installs it."""
    download: ClassVar[str]
    """The command that fetches weights."""

    @staticmethod
    def load(checkpoint: Path, device: torch.device) -> PointmapModel:
        """The network with its weights, which are never downloaded. Raises whatever its package raises."""

    def groups(self, photos: Sequence[np.ndarray]) -> list[Group]:
        """What it says of `photos` ([H, W, 3] float32 in [0, 1], sRGB), in one group or in several that overlap."""


def missing(model: type[PointmapModel]) -> str | None:
    """Why the network cannot run here, None when it can."""
    return None if find_spec(model.package) else f"the package {model.package} is not installed; `{model.install}`"


def load_model(name: str, model: type[PointmapModel], checkpoint: Path | None, device: torch.device) -> PointmapModel:
    """The network, or a ReconError that names what it lacks and how to get it."""
    lacking = [] if missing(model) is None else [f"package {model.package}"]
    if checkpoint is None or not checkpoint.exists():
        lacking.append("poses.pointmap.checkpoint" if checkpoint is None else f"checkpoint {checkpoint}")
    if lacking:
        raise ReconError(
            f"poses.pointmap: {name}", found=f"no {' and no '.join(lacking)}",
            wanted=f"the package {model.package} and a folder or file with its weights",
            fix=f"{model.install}; {model.download}; then set poses.pointmap.checkpoint",
        )  # fmt: skip
    assert checkpoint is not None
    try:
        return model.load(checkpoint, device)
    except Exception as error:  # whatever a foreign package raises for weights that are not its own
        raise ReconError(
            f"poses.pointmap: {name} cannot load {checkpoint}", found=f"{type(error).__name__}: {error}",
            fix=f"fetch it again: {model.download}",
        ) from error  # fmt: skip


def resized(photo: np.ndarray, longest: int, multiple: int) -> np.ndarray:
    """The photo with its longer side at `longest` px and both sides multiples of `multiple`: squeezed by a little."""
    height, width = photo.shape[:2]
    scale = longest / max(height, width)
    size = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.float32)


def as_tensor(photo: np.ndarray) -> Tensor:
    """[3, h, w]"""
    return torch.from_numpy(photo).permute(2, 0, 1).contiguous()


def side_by_side(photos: Sequence[np.ndarray], longest: int, multiple: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """All photos in one batch [V, 3, h, w], each `resized` and filled up with white to the right and below, and the
    height and width of each."""
    small = [as_tensor(resized(photo, longest, multiple)) for photo in photos]
    sizes = [(one.shape[1], one.shape[2]) for one in small]
    batch = torch.ones(len(small), 3, *(max(sides) for sides in zip(*sizes, strict=True)))
    for index, (one, (height, width)) in enumerate(zip(small, sizes, strict=True)):
        batch[index, :, :height, :width] = one
    return batch, sizes


def one_group(points: Tensor, confidence: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """What a network says of such a batch, all in one frame: points [V, h, w, 3] and confidence [V, h, w]."""
    own = [(index, slice(0, height), slice(0, width)) for index, (height, width) in enumerate(sizes)]
    return [
        Group(
            tuple(range(len(sizes))),
            tuple(points[one].float().cpu().clone() for one in own),
            tuple(confidence[one].float().cpu().clone() for one in own),
        )
    ]


def from_folder_or_file(build: Any, checkpoint: Path) -> Any:
    """`build.from_pretrained(folder)`, or `build()` with the weights of one file."""
    if checkpoint.is_dir():
        return build.from_pretrained(str(checkpoint))
    model = build()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return model
