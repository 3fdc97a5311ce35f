"""Normals of single photos by Marigold's diffusion pipeline."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors.checkpoint import PipelineConfig, from_folder
from recon.priors.pixels import to_pil


@config
class NormalsConfig(PipelineConfig):
    """Normals by a `MarigoldNormalsPipeline` of diffusers."""

    model: ClassVar[str] = "prs-eth/marigold-normals-v1-1"

    name: Literal["normals"] = "normals"
    steps: Annotated[int, Field(ge=1)] = 4
    """Denoising steps."""
    ensemble: Annotated[int, Field(ge=1)] = 1
    """Predictions from different noise that are averaged; Marigold wants three or more, or one."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the noise."""

    def load(self, device: torch.device) -> MarigoldNormals:
        """The pipeline on `device`; see `PriorConfig.load`."""
        self.check()
        return MarigoldNormals(self, device)


class MarigoldNormals:
    """A `NormalPrior`. Marigold's axes are x right, y up, z towards the camera; ours are OpenCV's."""

    def __init__(self, config: NormalsConfig, device: torch.device) -> None:
        from diffusers import MarigoldNormalsPipeline

        self.config = config
        self.pipeline = config.place(from_folder(
            MarigoldNormalsPipeline, config.checkpoint, dtype=config.dtype(device)
        ), device)  # fmt: skip

    def normal(self, photo: Tensor) -> Tensor:
        found = self.pipeline(
            to_pil(photo), num_inference_steps=self.config.steps, ensemble_size=self.config.ensemble,
            processing_resolution=min(max(photo.shape[:2]), self.config.max_side), output_type="pt",
            generator=torch.Generator().manual_seed(self.config.seed),
        ).prediction[0]  # fmt: skip
        axes = torch.tensor([1.0, -1.0, -1.0])
        return torch.nn.functional.normalize(found.float().cpu().permute(1, 2, 0) * axes, dim=-1).to(photo.device)
