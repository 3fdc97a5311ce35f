"""Checkpoints in folders of this machine. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field

from recon.config import config
from recon.errors import ReconError
from recon.priors.adapter import PackagesConfig, PriorConfig

_SAMPLE = 1 << 20
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@config
class WeightsConfig(PackagesConfig):
    """A network whose weights are in a folder as `save_pretrained` writes it."""

    role: ClassVar[str] = "prior"
    """What it is, in messages."""
    index: ClassVar[str] = "config.json"
    """File that such a folder has."""

    checkpoint: Path
    """Folder with the weights."""
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Numbers that the network computes with; `auto`: float16 on a GPU, float32 on a CPU."""

    def dtype(self, device: torch.device) -> torch.dtype:
        """What `precision` means on `device`."""
        if self.precision == "auto":
            return torch.float32 if device.type == "cpu" else torch.float16
        return _DTYPES[self.precision]

    def check(self, *further: tuple[Path, str, str]) -> None:
        """Raise one ReconError for all that is missing: packages, the checkpoint, and `further` folders with the file
        that each must have and a public checkpoint that fits."""
        missing, found, fixes = self.missing(), [], []
        if missing:
            found.append(f"the package{'s' * (len(missing) > 1)} {', '.join(missing)} not installed")
            fixes.append(f"`pip install 'recon[{self.extra}]'`")
        for folder, index, model in ((self.checkpoint, self.index, self.model), *further):
            if not (folder / index).is_file():
                found.append(f"no {index} in {folder}" if folder.is_dir() else f"no folder {folder}")
                fixes.append(f"fill {folder} with `hf download {model} --local-dir {folder}`, or name another folder")
        if found:
            name = getattr(self, "name", "")
            raise ReconError(f"{self.role} {name}", found="; ".join(found), fix=" and ".join(fixes))


@config
class CheckpointConfig(WeightsConfig, PriorConfig):
    """A prior of that kind."""

    max_side: Annotated[int, Field(ge=16)] = 768
    """Pictures are shrunk to this for the network, longer side, px, and its answer is grown again."""

    def content(self) -> str:
        return hash_folder(self.checkpoint)


@config
class PipelineConfig(CheckpointConfig):
    """A prior that is a pipeline of diffusers."""

    packages: ClassVar[tuple[str, ...]] = ("diffusers", "transformers")
    index: ClassVar[str] = "model_index.json"

    offload: Literal["none", "model", "sequential"] = "none"
    """On a GPU, keep weights in main memory and bring in one `model` at a time, or one layer (`sequential`), which
    needs least and is slowest."""
    tiling: bool = False
    """Encode and decode pictures in tiles and compute attention in slices: less memory, a little slower."""

    def place(self, pipeline: Any, device: torch.device) -> Any:
        """`pipeline` of diffusers on `device`, with the memory-saving options set."""
        pipeline.set_progress_bar_config(disable=True)
        if self.tiling:
            pipeline.vae.enable_tiling()
            pipeline.enable_attention_slicing()
        if self.offload == "none" or device.type == "cpu":
            return pipeline.to(device)
        if self.offload == "model":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.enable_sequential_cpu_offload(device=device)
        return pipeline


def hash_folder(folder: Path) -> str:
    """SHA-256, hex, of names and sizes of all files below `folder`, or of that file, and of the first and last MiB of
    each: weights of several GB are not read whole for a key."""
    digest = hashlib.sha256()
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def from_folder(cls: Any, folder: Path, **options: Any) -> Any:
    """`cls.from_pretrained(folder)` without network; what it cannot read is a ReconError."""
    for package in {"transformers", cls.__module__.partition(".")[0]}:
        # Bars of loading would break recon's own progress.
        import_module(f"{package}.utils.logging").disable_progress_bar()
    try:
        return cls.from_pretrained(str(folder), local_files_only=True, **options)
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ReconError(
            f"{folder}: the checkpoint cannot be loaded as {cls.__name__}", found=first,
            fix="name a folder that `save_pretrained` or `hf download` wrote",
        ) from error  # fmt: skip
