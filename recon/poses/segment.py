"""An object cut out of its background from a box around it by a network: Segment Anything (Kirillov et al. 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch

from recon.config import config
from recon.poses.grabcut import Box, nothing_found, tidied
from recon.priors.checkpoint import WeightsConfig, from_folder


@config
class SamConfig(WeightsConfig):
    """Any checkpoint that `SamModel` of transformers reads."""

    role: ClassVar[str] = "segmentation by"
    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    model: ClassVar[str] = "facebook/sam-vit-base"

    name: Literal["sam"] = "sam"


class Segmenter:
    """Takes photos and boxes to masks. The model's own processor sizes and normalises the photo."""

    def __init__(self, config: SamConfig, device: torch.device) -> None:
        config.check()
        from transformers import SamModel, SamProcessor

        self.device = device
        self.processor = from_folder(SamProcessor, config.checkpoint)
        self.model = from_folder(SamModel, config.checkpoint, dtype=config.dtype(device)).to(device).eval()

    @torch.no_grad()
    def cut_out(self, rgb: np.ndarray, box: Box, name: str) -> np.ndarray:
        """The object's mask [H, W] uint8, 0 or 255, in a photo [H, W, 3] uint8; see `recon.poses.grabcut.cut_out`."""
        from PIL import Image

        height, width = rgb.shape[:2]
        corners = [box.left * width, box.top * height, box.right * width, box.bottom * height]
        inputs = self.processor(images=Image.fromarray(rgb), input_boxes=[[corners]], return_tensors="pt")
        sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        given = {key: inputs[key].to(self.device, self.model.dtype) for key in ("pixel_values", "input_boxes")}
        logits = self.model(**given, multimask_output=False).pred_masks.float().cpu()
        (found,) = self.processor.image_processor.post_process_masks(logits, *sizes)
        inside = np.zeros((height, width), np.uint8)
        inside[round(corners[1]) : round(corners[3]), round(corners[0]) : round(corners[2])] = 1
        mask = tidied(found[0, 0].numpy().astype(np.uint8) * inside)
        if not mask.any():
            raise nothing_found(name)
        return mask * np.uint8(255)
