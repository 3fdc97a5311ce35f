"""Pictures in the sizes that networks want, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def resized(image: Tensor, width: int, height: int) -> Tensor:
    """[H, W, C] at another size: area average where it shrinks, else bicubic within the picture's range."""
    if image.shape[:2] == (height, width):
        return image
    planes = image.permute(2, 0, 1)[None]
    if height <= image.shape[0] and width <= image.shape[1]:
        made = torch.nn.functional.interpolate(planes, (height, width), mode="area")
    else:
        made = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", align_corners=False)
        made = made.clamp(image.min(), image.max())
    return made[0].permute(1, 2, 0)


def network_size(width: int, height: int, max_side: int, multiple: int) -> tuple[int, int]:
    """Width and height for a network whose sides must be multiples of `multiple`: the longer one at most `max_side`,
    the shape as near as that allows."""
    shrink = min(1.0, max_side / max(width, height))
    most = max(multiple, max_side // multiple * multiple)
    sides = (min(most, max(multiple, round(side * shrink / multiple) * multiple)) for side in (width, height))
    return next(sides), next(sides)


def to_pil(image: Tensor) -> Picture:
    """[H, W, 3] in [0, 1] as a PIL picture."""
    from PIL import Image

    return Image.fromarray((image.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy())


def from_pil(picture: Picture) -> Tensor:
    """The inverse, float32."""
    import numpy as np

    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)
