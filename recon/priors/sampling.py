"""Repair by noise that is taken out again, and how sure such a prior is: by how much its answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.priors.checkpoint import PipelineConfig
from recon.priors.pixels import resized
from recon.priors.protocol import Repaired, RepairRequest

_SIGMA = 0.1  # difference of colours, in [0, 1]


@config
class SamplingConfig(PipelineConfig):
    """What pipelines of diffusers are told that put noise on pictures and take it out again."""

    repairs: ClassVar[bool] = True

    prompt: str = ""
    """What the pictures show."""
    negative_prompt: str = ""
    """What they do not."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the noise of a picture made from nothing: the more, the less of the render is left."""
    steps: Annotated[int, Field(ge=1)] = 20
    """Steps that the whole way would take; `strength` of them are done."""
    text_scale: Annotated[float, Field(ge=0)] = 5.0
    """Classifier-free guidance. Distilled models want 0."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Answers from different noise, averaged; where they differ, they are trusted less."""
    alone: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Confidence all over, of a single sample."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the noise."""

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


def of_samples(request: RepairRequest, pictures: Sequence[Tensor], alone: float) -> Repaired:
    """The mean of pictures [h, w, 3] at the request's size, with confidence exp(-(d / 0.1)^2) of their largest
    difference d from it; of a single picture the confidence is `alone` all over."""
    height, width = request.alpha.shape
    answers = torch.stack([resized(one.float().to(request.render.device), width, height) for one in pictures])
    image = answers.mean(0).clamp(0, 1)
    if len(answers) == 1:
        return Repaired(image, torch.full_like(request.alpha, alone))
    spread = (answers - image).abs().mean(-1).amax(0)
    return Repaired(image, torch.exp(-((spread / _SIGMA) ** 2)))
