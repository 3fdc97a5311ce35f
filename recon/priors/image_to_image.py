"""Repair by image-to-image pipelines of diffusers: a little noise on the render, and the network takes it out again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.checkpoint import PipelineConfig, from_folder, hash_folder
from recon.priors.pixels import from_pil, network_size, resized, to_pil
from recon.priors.protocol import Repaired, RepairRequest
from recon.priors.sampling import of_samples


@config
class DenoisingConfig(PipelineConfig):
    """What image-to-image pipelines are told."""

    repairs: ClassVar[bool] = True

    prompt: str = "a sharp photo"
    """What the picture shows."""
    negative_prompt: str = "blurry, noise, artefacts"
    """What it does not."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the noise of a picture made from nothing: the more, the less of the render is left."""
    steps: Annotated[int, Field(ge=1)] = 20
    """Steps that the whole way would take; `strength` of them are done."""
    text_scale: Annotated[float, Field(ge=0)] = 5.0
    """Classifier-free guidance. Distilled models want 0."""
    samples: Annotated[int, Field(ge=1)] = 2
    """Answers from different noise, averaged; where they differ, they are trusted less."""
    alone: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Confidence all over, of a single sample."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the noise."""
    lora: Path | None = None
    """Folder or .safetensors file with a LoRA that goes on top."""

    def content(self) -> str:
        extra = "" if self.lora is None else hash_folder(self.lora)
        return super().content() + extra

    def said(self, sample: int) -> dict[str, Any]:
        """Arguments of one call."""
        told: dict[str, Any] = {
            "prompt": self.prompt, "strength": self.strength, "num_inference_steps": self.steps_of_call(),
            "guidance_scale": self.text_scale, "generator": torch.Generator().manual_seed(self.seed + sample),
        }  # fmt: skip
        if self.text_scale > 1:
            told["negative_prompt"] = self.negative_prompt
        return told

    def steps_of_call(self) -> int:
        """At least so many that one of them is done."""
        return max(self.steps, int(1 / self.strength) + 1)


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
