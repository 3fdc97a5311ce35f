"""A GPU that is none: tensors that say they are on "cuda" and live in the CPU's memory.

Torch refuses to mix tensors of two devices; so does this, for every function that torch code calls, which finds the
forgotten `.to(device)` on machines without a GPU. What the rasteriser's kernels do there is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
# Functions that may meet tensors of both devices.
_MIXED = {"copy_", "to", "_backward_hooks", "as_subclass"}


class OnGpu(Tensor):
    """A tensor that is said to be on the GPU."""


def _wrap(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, OnGpu):
        return value
    if value.is_leaf and value.requires_grad:  # stays a leaf
        return value.detach().as_subclass(OnGpu).requires_grad_()
    return value.as_subclass(OnGpu)


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, OnGpu) else value


class FakeGpu(TorchFunctionMode):
    """While active, "cuda" is a device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        ours = [leaf for leaf in leaves if isinstance(leaf, OnGpu)]
        with torch._C.DisableTorchFunctionSubclass():
            if func == Tensor.device.__get__:  # type: ignore[attr-defined]
                return CUDA if ours else func(*args)
            if func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
                return bool(ours)
            if func == Tensor.grad.__get__:  # type: ignore[attr-defined]
                return _wrap(func(*args)) if ours else func(*args)
            if name in {"cpu", "numpy"}:
                return func(*tree_map(_plain, args), **kwargs)
            target = kwargs.get("device")
            if name == "to":
                target = target or next((a for a in args[1:] if isinstance(a, str | torch.device)), None)
                args = tuple(torch.device("cpu") if isinstance(a, str | torch.device) else a for a in args)
            if target is not None and "device" in kwargs:
                kwargs["device"] = "cpu"
            # Numbers without dimensions may stay on the CPU, and so may indices.
            strangers = [leaf for leaf in leaves if not isinstance(leaf, OnGpu) and leaf.ndim > 0]
            indexed = name in {"__getitem__", "__setitem__"} and isinstance(args[0], OnGpu)
            if ours and strangers and name not in _MIXED and not indexed:
                shapes = [tuple(leaf.shape) for leaf in strangers]
                raise RuntimeError(
                    f"{name}: expected all tensors on one device; on the CPU are those of shape {shapes}"
                )
            result = func(*args, **kwargs)
            on_gpu = torch.device(target).type == "cuda" if target is not None else bool(ours)
            return tree_map(_wrap if on_gpu else _plain, result)


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Activate it."""
    with FakeGpu():
        yield
