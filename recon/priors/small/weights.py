"""Weights in half precision, with what the network is and how it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from recon.errors import ReconError
from recon.priors.small.network import NetworkConfig, Restorer

WEIGHTS = Path(__file__).with_name("weights.safetensors")
"""Those that come with recon."""


def save_weights(path: Path, network: Restorer, about: dict[str, Any]) -> None:
    """Write `network` in one piece; `about` is any JSON, see `describe`."""
    from safetensors.torch import save_file

    config = {"widths": network.config.widths, "blocks": network.config.blocks, "diffusion": network.config.diffusion}
    half = {name: value.detach().half().contiguous().clone() for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".tmp")
    save_file(half, making, {"network": json.dumps(config), "about": json.dumps(about)})
    making.replace(path)


def load_weights(path: Path, device: torch.device) -> Restorer:
    """The network in `path`, in single precision, for use. Raises ReconError for a file that is none of these."""
    from safetensors import SafetensorError, safe_open

    fix = "name a file that `recon prior train` or `recon prior adapt` wrote, or leave `weights` out"
    if not path.is_file():
        raise ReconError(f"{path}: no weights there", fix=fix)
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            values = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (no mapping)
        network = Restorer(NetworkConfig(**json.loads(said["network"])))
        network.load_state_dict(values)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ReconError(f"{path}: no weights of the small prior", found=str(error).splitlines()[0], fix=fix) from error
    return network.to(device).eval().requires_grad_(False)


def describe(path: Path) -> dict[str, Any]:
    """What `save_weights` was told about the weights in `path`."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about: dict[str, Any] = json.loads((file.metadata() or {}).get("about", "{}"))
    return about
