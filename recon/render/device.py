"""Where tensors are rendered and trained on."""

from __future__ import annotations

import torch

from recon.errors import ReconError
from recon.render.gpu import module


def choose_device(wanted: str) -> tuple[torch.device, str | None]:
    """The device for `auto`, `cpu` or `cuda`, and why `auto` did not take the GPU that torch sees.

    `auto` is the GPU where there is one that this build can use, else the CPU. Raises ReconError when `cuda` is asked
    for and cannot be had.
    """
    if wanted == "cpu":
        return torch.device("cpu"), None
    if not torch.cuda.is_available():
        if wanted == "auto":
            return torch.device("cpu"), None
        raise ReconError(
            "device: cuda", found="torch sees no CUDA device", wanted="an NVIDIA GPU with a driver and torch for CUDA",
            fix="see `recon doctor`, or use device: cpu",
        )  # fmt: skip
    try:
        module()
    except ReconError as error:
        if wanted == "cuda":
            raise
        return torch.device("cpu"), f"there is a GPU, but {error}; using the CPU"
    return torch.device("cuda"), None
