"""Repair of whole camera paths by video-to-video pipelines of diffusers, whose frames agree with each other."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.errors import ReconError
from recon.priors.checkpoint import from_folder
from recon.priors.pixels import from_pil, network_size, resized, to_pil
from recon.priors.protocol import Repaired, RepairRequest
from recon.priors.sampling import SamplingConfig, of_samples


@config
class VideoConfig(SamplingConfig):
    """A pipeline of diffusers that takes a `video`: of AnimateDiff, CogVideoX, Wan or LTX."""

    model: ClassVar[str] = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"

    name: Literal["video"] = "video"
    pipeline: str = "AnimateDiffVideoToVideoPipeline"
    """Class of diffusers to load the checkpoint with, such as WanVideoToVideoPipeline."""
    prompt: str = "a camera moves through a sharp, static scene"
    negative_prompt: str = "blurry, noise, artefacts, motion"
    frames: Annotated[int, Field(ge=1)] = 16
    """Frames that the model takes at least; a shorter path is repeated backwards to reach them. CogVideoX and Wan want
    a multiple of four and one, such as 17."""
    multiple: Annotated[int, Field(ge=1)] = 16
    """Sides of frames are multiples of this, px."""

    def load(self, device: torch.device) -> Video:
        """The pipeline on `device`; see `PriorConfig.load`."""
        self.check()
        import diffusers

        cls = getattr(diffusers, self.pipeline, None)
        if cls is None or "video" not in inspect.signature(cls.__call__).parameters:
            able = [name for name in dir(diffusers) if name.endswith(("VideoToVideoPipeline", "ConditionPipeline"))]
            raise ReconError("prior video: pipeline", found=self.pipeline, wanted=" or ".join(able))
        return Video(self, self.place(from_folder(cls, self.checkpoint, dtype=self.dtype(device)), device))


class Video:
    """A `ClipPrior`."""

    def __init__(self, config: VideoConfig, pipeline: Any) -> None:
        self.config, self.pipeline = config, pipeline

    def repair_clip(self, requests: Sequence[RepairRequest]) -> list[Repaired]:
        height, width = requests[0].alpha.shape
        size = network_size(width, height, self.config.max_side, self.config.multiple)
        shown = [resized(request.render, *size) for request in requests]
        clips = [self._sample(shown, size, sample) for sample in range(self.config.samples)]
        return [
            of_samples(request, [clip[i] for clip in clips], self.config.alone) for i, request in enumerate(requests)
        ]

    def _sample(self, shown: Sequence[Tensor], size: tuple[int, int], sample: int) -> list[Tensor]:
        """One answer, frame by frame."""
        count = max(len(shown), self.config.frames)
        # There and back again, as often as it takes: a video with no jump.
        around = [*range(len(shown)), *range(len(shown) - 2, 0, -1)]
        order = [around[i % len(around)] for i in range(count)]
        video = [to_pil(shown[i]) for i in order]
        frames = self.pipeline(
            video=video, width=size[0], height=size[1], output_type="pil", **self.config.said(sample)
        ).frames[0]
        return [from_pil(frame) for frame in frames[: len(shown)]]
