"""Depth of single photos by a model of transformers, such as Depth Anything, DPT or ZoeDepth."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from recon.config import config
from recon.priors.checkpoint import CheckpointConfig, from_folder
from recon.priors.pixels import network_size, resized, to_pil
from recon.priors.protocol import Depth

_METRIC = {"zoedepth", "depth_pro", "glpn"}  # model types of transformers that always give metres


@config
class DepthConfig(CheckpointConfig):
    """Depth by any model that `AutoModelForDepthEstimation` of transformers reads."""

    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    model: ClassVar[str] = "depth-anything/Depth-Anything-V2-Small-hf"

    name: Literal["depth"] = "depth"
    output: Literal["auto", "inverse", "relative", "metric"] = "auto"
    """What the model's numbers are. `auto`: metres where its configuration says so (ZoeDepth, Depth Pro, GLPN, metric
    Depth Anything), else inverse depth up to scale and shift, as MiDaS made usual."""

    def load(self, device: torch.device) -> TransformersDepth:
        """The model on `device`; see `PriorConfig.load`."""
        self.check()
        return TransformersDepth(self, device)


class TransformersDepth:
    """A `DepthPrior`. The model's own processor sizes and normalises the photo."""

    def __init__(self, config: DepthConfig, device: torch.device) -> None:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        self.config, self.device = config, device
        self.processor = from_folder(AutoImageProcessor, config.checkpoint)
        self.model = from_folder(AutoModelForDepthEstimation, config.checkpoint, dtype=config.dtype(device))
        self.model = self.model.to(device).eval()
        self.kind: Literal["inverse", "relative", "metric"] = config.output if config.output != "auto" else self._kind()

    def _kind(self) -> Literal["inverse", "metric"]:
        about = self.model.config
        metric = about.model_type in _METRIC or getattr(about, "depth_estimation_type", "") == "metric"
        return "metric" if metric else "inverse"

    @torch.no_grad()
    def depth(self, photo: Tensor) -> Depth:
        height, width = photo.shape[:2]
        shown = resized(photo, *network_size(width, height, self.config.max_side, 1))
        inputs = self.processor(images=to_pil(shown), return_tensors="pt")
        outputs = self.model(**{name: value.to(self.device, self.model.dtype) for name, value in inputs.items()})
        (found,) = self.processor.post_process_depth_estimation(outputs, target_sizes=[(height, width)])
        return Depth(found["predicted_depth"].float().to(photo.device), self.kind)
