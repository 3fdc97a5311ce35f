"""The parts of a Stable Diffusion checkpoint: pictures to latents and back, and a U-Net that tells them from noise."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.checkpoint import CheckpointConfig, from_folder
from recon.priors.pixels import network_size, resized


@config
class LatentConfig(CheckpointConfig):
    """A prior on the parts of a Stable Diffusion checkpoint (folders unet, vae, text_encoder, tokenizer, scheduler)."""

    packages: ClassVar[tuple[str, ...]] = ("diffusers", "transformers")
    index: ClassVar[str] = "model_index.json"

    prompt: str = ""
    """Text that the network is told."""
    tiling: bool = False
    """Encode and decode pictures in tiles: less memory, a little slower."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the noise."""


class LatentDiffusion:
    """Unet, autoencoder and embedded prompt of a checkpoint, frozen, in one precision on one device."""

    def __init__(self, config: LatentConfig, device: torch.device) -> None:
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import AutoTokenizer, CLIPTextModel

        folder, dtype = config.checkpoint, config.dtype(device)
        self.config, self.device, self.dtype = config, device, dtype
        self.unet: Any = from_folder(UNet2DConditionModel, folder, subfolder="unet", dtype=dtype).to(device)
        self.vae: Any = from_folder(AutoencoderKL, folder, subfolder="vae", dtype=dtype).to(device)
        scheduler: Any = from_folder(DDPMScheduler, folder, subfolder="scheduler")
        tokenizer: Any = from_folder(AutoTokenizer, folder, subfolder="tokenizer")
        text: Any = from_folder(CLIPTextModel, folder, subfolder="text_encoder", dtype=dtype).to(device)
        for part in (self.unet, self.vae, text):
            part.requires_grad_(False).eval()
        if config.tiling:
            self.vae.enable_tiling()
        self.alphas = scheduler.alphas_cumprod.to(device)
        self.prediction: str = scheduler.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction", "sample"):
            raise ReconError(f"{folder}: scheduler", found=f"prediction_type {self.prediction}",
                             wanted="epsilon, v_prediction or sample")  # fmt: skip

        def embed(prompt: str) -> Tensor:
            tokens = tokenizer(prompt, padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
                               return_tensors="pt")  # fmt: skip
            with torch.no_grad():
                embedded: Tensor = text(tokens.input_ids.to(device))[0]
            return embedded

        self.embed = embed
        self.prompt = embed(config.prompt)

    @property
    def factor(self) -> int:
        """How many pixels a side of a latent stands for."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def sized(self, image: Tensor) -> Tensor:
        """[H, W, 3] in a size that the network takes, differentiable."""
        height, width = image.shape[:2]
        return resized(image, *network_size(width, height, self.config.max_side, self.factor))

    def encode(self, images: Tensor) -> Tensor:
        """[B, h, w, 3] in [0, 1] to latents [B, C, h / f, w / f]: the mean, so that equal pictures have equal ones."""
        pixels = (2 * images - 1).permute(0, 3, 1, 2).to(self.device, self.dtype)
        latents: Tensor = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse, clamped."""
        pixels = self.vae.decode(latents.to(self.dtype) / self.vae.config.scaling_factor).sample
        return ((pixels.float() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)

    def noised(self, latents: Tensor, noise: Tensor, t: int) -> Tensor:
        """Latents with noise as of step `t`."""
        a = self.alphas[t].to(latents)
        return a.sqrt() * latents + (1 - a).sqrt() * noise

    def predict(self, noisy: Tensor, t: int, prompt: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The noise and the clean latents that the U-Net sees in `noisy` latents of step `t`, both float32."""
        prompt = (self.prompt if prompt is None else prompt).expand(len(noisy), -1, -1)
        steps = torch.tensor(t, device=self.device)
        said = self.unet(noisy.to(self.dtype), steps, encoder_hidden_states=prompt).sample.float()
        noisy, a = noisy.float(), self.alphas[t].float()
        if self.prediction == "v_prediction":
            return a.sqrt() * said + (1 - a).sqrt() * noisy, a.sqrt() * noisy - (1 - a).sqrt() * said
        clean = said if self.prediction == "sample" else (noisy - (1 - a).sqrt() * said) / a.sqrt()
        noise = said if self.prediction == "epsilon" else (noisy - a.sqrt() * said) / (1 - a).sqrt()
        return noise, clean

    def noise_like(self, latents: Tensor, seed: int) -> Tensor:
        """Noise that depends on `seed` alone, whatever the device."""
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
        return noise.to(latents)
