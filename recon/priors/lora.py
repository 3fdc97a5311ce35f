"""Low-rank updates of a network (LoRA), fitted to one scene's own pairs of damaged renders and photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.protocol import Pair

_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


@config
class LoraSettings:
    """How a network learns one scene (Hu et al. 2022; GaussianObject takes 1800 steps)."""

    steps: Annotated[int, Field(ge=1)] = 400
    """Optimisation steps, one pair each."""
    rank: Annotated[int, Field(ge=1)] = 16
    """Of the updates of attention layers."""
    rate: Annotated[float, Field(gt=0)] = 1e-4
    """Adam's step size."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the updates' start, the order of pairs and the noise."""


def add_lora(network: Any, settings: LoraSettings) -> None:
    """Give the attention layers of a diffusers network updates that do nothing yet; those of before are dropped."""
    try:
        from peft import LoraConfig
    except ImportError:
        raise ReconError("adapting a prior to a scene needs peft", fix="pip install 'recon[diffusion]'") from None
    torch.manual_seed(settings.seed)
    if getattr(network, "peft_config", None):
        network.delete_adapters(list(network.peft_config))
    network.add_adapter(LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=_ATTENTION))
    for parameter in trainable(network):
        parameter.data = parameter.data.float()


def trainable(network: Any) -> list[torch.nn.Parameter]:
    """The updates."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def fit(
    network: Any, pairs: Sequence[Pair], loss: Callable[[Pair, torch.Generator], Tensor], settings: LoraSettings
) -> None:
    """Fit the updates to `pairs` in random order; afterwards they are frozen."""
    generator = torch.Generator().manual_seed(settings.seed)
    parameters = trainable(network)
    optimizer = torch.optim.Adam(parameters, lr=settings.rate)
    half = network.dtype != torch.float32
    with torch.enable_grad(), torch.autocast(parameters[0].device.type, torch.bfloat16, enabled=half):
        for _ in range(settings.steps):
            pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
            optimizer.zero_grad()
            loss(pair, generator).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    network.requires_grad_(False)


def lora_tensors(network: Any) -> dict[str, Tensor]:
    """The updates by name, on the CPU."""
    from peft import get_peft_model_state_dict

    return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(network).items()}


def set_lora(network: Any, tensors: Mapping[str, Tensor]) -> None:
    """Put updates that `lora_tensors` gave into a network that `add_lora` prepared."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(network, dict(tensors))
    network.requires_grad_(False)
