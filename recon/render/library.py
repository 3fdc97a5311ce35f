"""Loads the native core and sets it to torch's number of threads."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from recon.errors import ReconError


def _load() -> ModuleType:
    try:
        return importlib.import_module("recon._core")
    except ImportError as error:
        raise ReconError(
            "the native core recon._core cannot be loaded", found=str(error), fix="build it with `pip install .`"
        ) from error


core: Any = _load()
"""The extension module: kernels `core.f32` and `core.f64`, and the constants that both sides share."""


def kernels(like: Tensor) -> Any:
    """The kernels for the precision of `like`, ready to run with torch's number of threads.

    Raises TypeError unless `like` is a float32 or float64 tensor on the CPU.
    """
    if like.device.type != "cpu":
        raise TypeError(f"tensors are on {like.device}; this build renders on the CPU: move them with .cpu()")
    core.set_num_threads(torch.get_num_threads())
    if like.dtype == torch.float32:
        return core.f32
    if like.dtype == torch.float64:
        return core.f64
    raise TypeError(f"tensors are {like.dtype}; expected float32, or float64 to check derivatives")


@dataclass(frozen=True)
class NativeFamily:
    """Sizes of a family's arrays in the core."""

    record_width: int
    """Numbers per primitive that a pixel reads."""
    moment_width: int
    """Sums over pixels that the family's gradient needs, besides the extra ones and the channels."""
    pixel_depth: bool
    """Whether depth varies over a footprint."""


@cache
def native_family(name: str) -> tuple[int, NativeFamily]:
    """Index and sizes of the core's kernels of that name."""
    for index, family in enumerate(core.f32.families()):
        if family.name == name:
            return index, NativeFamily(family.record_width, family.moment_width, family.pixel_depth)
    raise LookupError(f"the core has no family {name!r}; rebuild it with `pip install .`")


def pointer(tensor: Tensor | None) -> int:
    """Address of a contiguous tensor's data, 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()


def pointers(tensors: Sequence[Tensor]) -> list[int]:
    """Addresses of contiguous tensors' data."""
    return [tensor.data_ptr() for tensor in tensors]
