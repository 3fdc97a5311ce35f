"""Training photos as tensors at every resolution that the optimisation uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.scene.nodes import View

if TYPE_CHECKING:
    from recon.io.images import Image


@dataclass(frozen=True)
class TrainingPhoto:
    """One photo with the camera that took it, float32."""

    name: str
    rgb: Tensor
    """[H, W, 3] in [0, 1], sRGB, multiplied by `alpha`. Stored channel by channel, as the loss reads it."""
    alpha: Tensor | None
    """[H, W] in [0, 1]: how much of the object covers the pixel; None when the photo is opaque."""
    weight: Tensor | None
    """[H, W] in [0, 1]: how much the pixel counts; None when all do."""
    world_to_camera: Tensor
    """[4, 4]."""
    K: Tensor
    """[3, 3], px of this resolution."""

    @property
    def width(self) -> int:
        """px"""
        return self.rgb.shape[1]

    @property
    def height(self) -> int:
        """px"""
        return self.rgb.shape[0]

    def to(self, device: torch.device) -> TrainingPhoto:
        """The photo with its tensors on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def target(self, background: Tensor) -> Tensor:
        """The photo [H, W, 3] on a background colour [3]."""
        if self.alpha is None:
            return self.rgb
        return self.rgb + (1 - self.alpha)[..., None] * background


def training_photos(
    views: Sequence[View], images: Mapping[str, Image], divisors: Sequence[int], min_side: int, coverage: bool
) -> list[list[TrainingPhoto]]:
    """For every divisor, the photos of `views` with width and height divided by it (area average).

    `images` holds the loaded photo of every view by name. No side gets smaller than `min_side` px (or than the photo).
    coverage: alpha says how much of the object covers a pixel; otherwise it says how much the pixel counts.
    """
    for view in views:
        image = images[view.name]
        found = image.rgb.shape[1], image.rgb.shape[0]
        if found != (view.camera.width, view.camera.height):
            raise ReconError(
                f"view {view.name}: K is for {view.camera.width}x{view.camera.height}",
                found=f"a photo of {found[0]}x{found[1]}",
                fix="re-run recon poses",
            )
        if not view.camera.distortion.is_identity:
            raise ReconError(
                f"view {view.name}: the camera has lens distortion",
                found=view.camera.distortion.model,
                wanted="an undistorted photo",
                fix="re-run recon poses",
            )
    return [[_resized(view, images[view.name], divisor, min_side, coverage) for view in views] for divisor in divisors]


def _resized(view: View, image: Image, divisor: int, min_side: int, coverage: bool) -> TrainingPhoto:
    import cv2

    camera = view.camera
    shrink = max(1.0, min(float(divisor), min(camera.width, camera.height) / min_side))
    size = (max(1, round(camera.width / shrink)), max(1, round(camera.height / shrink)))

    def averaged(values: np.ndarray) -> np.ndarray:
        if size == (camera.width, camera.height):
            return values
        result: np.ndarray = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        return result

    rgb, alpha = image.rgb.astype(np.float32), image.alpha
    if alpha is None:
        rgb = averaged(rgb)
    else:
        premultiplied, alpha = averaged(rgb * alpha[..., None].astype(np.float32)), averaged(alpha.astype(np.float32))
        # Pixels that do not count keep a colour, because the window of SSIM reaches them from pixels that do.
        rgb = (
            premultiplied
            if coverage
            else np.where(alpha[..., None] > 1e-3, premultiplied / np.maximum(alpha, 1e-3)[..., None], averaged(rgb))
        )
    plane = None if alpha is None else torch.from_numpy(np.ascontiguousarray(alpha))
    return TrainingPhoto(
        name=view.name,
        rgb=torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))).permute(1, 2, 0),
        alpha=plane if coverage else None,
        weight=None if coverage else plane,
        world_to_camera=view.world_to_camera.float(),
        K=camera.resized(*size).K.float(),
    )
