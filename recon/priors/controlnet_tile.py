"""Repair by Stable Diffusion with a ControlNet that keeps to the render (GaussianObject, Yang et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors.checkpoint import from_folder, hash_folder
from recon.priors.image_to_image import Denoising, DenoisingConfig
from recon.priors.lora import LoraSettings, add_lora, fit, lora_tensors, set_lora
from recon.priors.pixels import from_pil, network_size, resized, to_pil
from recon.priors.protocol import Pair


@config
class ControlNetTileConfig(DenoisingConfig):
    """A Stable Diffusion checkpoint and a ControlNet that was trained on tiles, conditioned on the render itself."""

    model: ClassVar[str] = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    control_model: ClassVar[str] = "lllyasviel/control_v11f1e_sd15_tile"

    name: Literal["controlnet-tile"] = "controlnet-tile"
    controlnet: Path
    """Folder with the ControlNet."""
    control_scale: Annotated[float, Field(ge=0)] = 1.0
    """How strongly the render holds the result."""
    adapt: LoraSettings | None = None
    """Learn this scene before the first repair, from pairs of damaged renders and photos."""

    def load(self, device: torch.device) -> ControlNetTile:
        """The pipeline on `device`; see `PriorConfig.load`."""
        self.check((self.controlnet, "config.json", self.control_model))
        from diffusers import ControlNetModel, StableDiffusionControlNetImg2ImgPipeline

        dtype = self.dtype(device)
        control = from_folder(ControlNetModel, self.controlnet, dtype=dtype)
        pipeline = from_folder(
            StableDiffusionControlNetImg2ImgPipeline, self.checkpoint, controlnet=control, dtype=dtype,
            safety_checker=None, requires_safety_checker=False,
        )  # fmt: skip
        return ControlNetTile(self, pipeline, device)

    def content(self) -> str:
        return super().content() + hash_folder(self.controlnet)


class ControlNetTile(Denoising):
    """A `RepairPrior`, and an `AdaptivePrior` where `adapt` is set."""

    config: ControlNetTileConfig

    def sample(self, shown: Tensor, sample: int) -> Tensor:
        picture = to_pil(shown)
        made = self.pipeline(
            image=picture, control_image=picture, controlnet_conditioning_scale=self.config.control_scale,
            **self.config.said(sample),
        )  # fmt: skip
        return from_pil(made.images[0])

    @property
    def learns(self) -> bool:
        return self.config.adapt is not None

    def adapt(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """Fit a LoRA of the U-Net so that, held by the damaged render, it denoises the photo."""
        settings, pipe = self.config.adapt, self.pipeline
        assert settings is not None
        device = pipe._execution_device
        with torch.no_grad():
            embedded, _ = pipe.encode_prompt(self.config.prompt, device, 1, False)
        alphas = pipe.scheduler.alphas_cumprod

        def loss(pair: Pair, generator: torch.Generator) -> Tensor:
            damaged, truth = (self._planes(one, device) for one in (pair.request.render, pair.truth))
            with torch.no_grad():
                latents = pipe.vae.encode(2 * truth - 1).latent_dist.mode() * pipe.vae.config.scaling_factor
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            t = torch.randint(len(alphas), (1,), generator=generator)
            a = alphas[t].to(latents)
            noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
            told: dict[str, Any] = {"encoder_hidden_states": embedded}
            down, middle = pipe.controlnet(
                noisy, t.to(device), controlnet_cond=damaged, conditioning_scale=self.config.control_scale,
                return_dict=False, **told,
            )  # fmt: skip
            said = pipe.unet(
                noisy, t.to(device), down_block_additional_residuals=down, mid_block_additional_residual=middle, **told
            ).sample
            wanted = noise if pipe.scheduler.config.prediction_type == "epsilon" else (
                a.sqrt() * noise - (1 - a).sqrt() * latents
            )  # fmt: skip
            return (said.float() - wanted.float()).square().mean()

        for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.controlnet):
            part.requires_grad_(False)
        add_lora(pipe.unet, settings)
        fit(pipe.unet, pairs, loss, settings)
        return lora_tensors(pipe.unet)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        assert self.config.adapt is not None
        add_lora(self.pipeline.unet, self.config.adapt)
        set_lora(self.pipeline.unet, tensors)

    def _planes(self, image: Tensor, device: torch.device) -> Tensor:
        """[1, 3, h, w] in the network's size and precision."""
        height, width = image.shape[:2]
        size = network_size(width, height, self.config.max_side, self.pipeline.vae_scale_factor)
        return resized(image, *size).permute(2, 0, 1)[None].to(device, self.pipeline.unet.dtype)
