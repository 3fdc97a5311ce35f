"""Repair in one step with a photo beside the render (Difix, Wu et al. 2025; on SD-Turbo, as img2img-turbo)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.latent import LatentConfig, LatentDiffusion
from recon.priors.lora import LoraSettings, add_lora, fit, lora_tensors, set_lora
from recon.priors.pixels import resized
from recon.priors.protocol import Pair, Repaired, RepairRequest
from recon.priors.sampling import of_samples

_SKIP = "decoder.skip_conv_"


@config
class DifixConfig(LatentConfig):
    """A one-step restorer with the parts of SD-Turbo: Difix with or without reference, or one trained alike."""

    repairs: ClassVar[bool] = True

    model: ClassVar[str] = "nvidia/difix_ref"

    name: Literal["difix"] = "difix"
    prompt: str = "remove degradation"
    """Text that the network was trained with."""
    timestep: Annotated[int, Field(ge=0, lt=1000)] = 199
    """Noise level that the render is taken to have, of 1000."""
    reference: bool = True
    """Show the nearest photo as well; attention then runs over both pictures. For checkpoints trained so."""
    mirror: bool = True
    """Repair the mirrored render as well: the mean is better than either, and where they differ it is trusted less."""
    adapt: LoraSettings | None = None
    """Learn this scene before the first repair, from pairs of damaged renders and photos."""

    def load(self, device: torch.device) -> Difix:
        """The network on `device`; see `PriorConfig.load`."""
        self.check()
        return Difix(self, device)


class Difix:
    """A `RepairPrior`, and an `AdaptivePrior` where `adapt` is set."""

    def __init__(self, config: DifixConfig, device: torch.device) -> None:
        self.config, self.net = config, LatentDiffusion(config, device)
        self._mix_views()
        _add_skips(self.net)

    def _mix_views(self) -> None:
        """Let self-attention see the tokens of all pictures of a batch at once: Difix's reference mixing."""
        from diffusers.models.attention import BasicTransformerBlock

        for block in self.net.unet.modules():
            if isinstance(block, BasicTransformerBlock):
                inner = block.attn1.forward

                def together(tokens: Tensor, *args: Any, inner: Any = inner, **more: Any) -> Any:
                    views, length, width = tokens.shape
                    return inner(tokens.reshape(1, views * length, width), *args, **more).reshape(views, length, width)

                block.attn1.forward = together

    def repair(self, request: RepairRequest) -> Repaired:
        with torch.no_grad():
            pictures = [self._repaired(request, False)]
            if self.config.mirror:
                pictures.append(self._repaired(request, True))
        return of_samples(request, pictures, 1.0)

    def _repaired(self, request: RepairRequest, mirrored: bool) -> Tensor:
        images = self._images(request)
        images = images.flip(2) if mirrored else images
        made = self.net.decode(self._clean(images))[0]
        return made.flip(1) if mirrored else made

    def _images(self, request: RepairRequest) -> Tensor:
        """[V, h, w, 3], the render and after it the photo, where one is to be shown."""
        shown = self.net.sized(request.render)
        if not self.config.reference or not request.references:
            return shown[None]
        photo = resized(request.references[0].image, shown.shape[1], shown.shape[0])
        return torch.stack([shown, photo])

    def _clean(self, images: Tensor) -> Tensor:
        """Clean latents of all pictures."""
        return self.net.predict(self.net.encode(images), self.config.timestep)[1]

    @property
    def learns(self) -> bool:
        return self.config.adapt is not None

    def adapt(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """Fit a LoRA of the U-Net so that latents of damaged renders become those of photos."""
        assert self.config.adapt is not None

        def loss(pair: Pair, generator: torch.Generator) -> Tensor:
            with torch.no_grad():
                wanted = self.net.encode(self.net.sized(pair.truth)[None])
            return (self._clean(self._images(pair.request))[:1] - wanted.float()).square().mean()

        add_lora(self.net.unet, self.config.adapt)
        fit(self.net.unet, pairs, loss, self.config.adapt)
        return lora_tensors(self.net.unet)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        assert self.config.adapt is not None
        add_lora(self.net.unet, self.config.adapt)
        set_lora(self.net.unet, tensors)


def _add_skips(net: LatentDiffusion) -> None:
    """Connections from the encoder to the decoder of the autoencoder (img2img-turbo, Parmar et al. 2024), where the
    checkpoint has them: what enters a stage of the one is added, by a 1 x 1 convolution, to what enters its opposite.
    """
    from safetensors.torch import load_file

    files = sorted((net.config.checkpoint / "vae").glob("*.safetensors"))
    weights = {name: value for path in files for name, value in load_file(path).items()}
    if any("lora_" in name for name in weights):
        raise ReconError(f"{net.config.checkpoint}/vae", found="LoRA weights beside those of the autoencoder",
                         wanted="one set of weights", fix="merge them with peft's `merge_and_unload`")  # fmt: skip
    skips = {name: value for name, value in weights.items() if name.startswith(_SKIP)}
    if not skips:
        return
    encoder, decoder = net.vae.encoder, net.vae.decoder
    entering: dict[int, Tensor] = {}

    def remember(stage: int) -> Any:
        return lambda block, args: entering.__setitem__(stage, args[0])

    def add(weight: Tensor, opposite: int) -> Any:
        return lambda block, args: (args[0] + torch.nn.functional.conv2d(entering[opposite], weight), *args[1:])

    last = len(encoder.down_blocks) - 1
    for stage, block in enumerate(encoder.down_blocks):
        block.register_forward_pre_hook(remember(stage))
    for stage, block in enumerate(decoder.up_blocks):
        weight = skips[f"{_SKIP}{stage + 1}.weight"].to(net.device, net.dtype)
        block.register_forward_pre_hook(add(weight, last - stage))
