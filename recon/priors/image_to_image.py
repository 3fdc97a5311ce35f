"""Repair by image-to-image pipelines of diffusers: a little noise on the render, and the network takes it out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.checkpoint import from_folder, hash_folder
from recon.priors.pixels import from_pil, network_size, resized, to_pil
from recon.priors.protocol import Repaired, RepairRequest
from recon.priors.sampling import SamplingConfig, of_samples


@config
class DenoisingConfig(SamplingConfig):
    """What image-to-image pipelines are told."""

    prompt: str = "a sharp photo"
    negative_prompt: str = "blurry, noise, artefacts"
    samples: Annotated[int, Field(ge=1)] = 2
    lora: Path | None = None
    """Folder or .safetensors file with a LoRA that goes on top."""

    def content(self) -> str:
        extra = "" if self.lora is None else hash_folder(self.lora)
        return super().content() + extra


@config
class ImageToImageConfig(DenoisingConfig):
    """Any checkpoint that `AutoPipelineForImage2Image` of diffusers reads."""

    model: ClassVar[str] = "stabilityai/stable-diffusion-2-1"

    name: Literal["image-to-image"] = "image-to-image"

    def load(self, device: torch.device) -> Denoising:
        """The pipeline on `device`; see `PriorConfig.load`."""
        self.check()
        from diffusers import AutoPipelineForImage2Image

        pipeline = from_folder(AutoPipelineForImage2Image, self.checkpoint, dtype=self.dtype(device))
        return Denoising(self, pipeline, device)


class Denoising:
    """A `RepairPrior` on an image-to-image pipeline of diffusers."""

    def __init__(self, config: DenoisingConfig, pipeline: Any, device: torch.device) -> None:
        self.config = config
        if config.lora is not None:
            if not config.lora.exists():
                raise ReconError("prior: lora", found=f"no {config.lora}", wanted="a folder or a .safetensors file")
            pipeline.load_lora_weights(str(config.lora), local_files_only=True)
        self.pipeline = config.place(pipeline, device)

    def repair(self, request: RepairRequest) -> Repaired:
        height, width = request.alpha.shape
        size = network_size(width, height, self.config.max_side, self.pipeline.vae_scale_factor)
        shown = resized(request.render, *size)
        pictures = [self.sample(shown, sample) for sample in range(self.config.samples)]
        return of_samples(request, pictures, self.config.alone)

    def sample(self, shown: Tensor, sample: int) -> Tensor:
        """One answer [h, w, 3] to the render `shown`."""
        return from_pil(self.pipeline(image=to_pil(shown), **self.config.said(sample)).images[0])
