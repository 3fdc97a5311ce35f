"""Poses of held-out photos against splats that stay as they are: what is measured is the scene, not an estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon.evaluate.renderer import SplatRenderer
from recon.geometry import rigid
from recon.io.images import load_image
from recon.render.image_loss import l1_ssim
from recon.scene import View

_COARSE_STEPS, _COARSE_RATE = 60, 2e-3  # rad, and shares of the distance to what is seen, at the first step
_FINE_STEPS, _FINE_RATE = 60, 5e-4
_FALL = 0.03  # of the rate, from first to last step
_MAX_TURN, _MAX_SHIFT = math.radians(5.0), 0.1  # a photo that has to move further was not located in the first place


@dataclass(frozen=True)
class Registration:
    """A held-out view where the splats show its photo best."""

    view: View
    turned_deg: float
    """From where matches had located it."""


def register(view: View, renderer: SplatRenderer) -> Registration:
    """Turn and move the camera of `view` until the frozen splats look like its photo.

    Adam on six numbers through the rasteriser's camera gradient, from half to full resolution, for L1 and SSIM. The
    pose that shows the photo best is taken, which is the given one when nothing is better.
    """
    image = load_image(view)
    photo = torch.from_numpy(image.rgb).float()
    weight = None if image.alpha is None or renderer.coverage else torch.from_numpy(image.alpha).float()
    if renderer.coverage and image.alpha is not None:
        photo = torch.lerp(
            renderer.background.expand_as(photo), photo, torch.from_numpy(image.alpha).float()[..., None]
        )
    start, distance = view.world_to_camera.float(), _distance(view, renderer)
    small, pooled, pooled_weight = _halved(view, photo, weight)

    def coarse(delta: Tensor) -> Tensor:
        return l1_ssim(renderer.draw(small, _moved(start, delta, distance)), pooled, pooled_weight, 0.5)

    def fine(delta: Tensor) -> Tensor:
        return l1_ssim(renderer.draw(view, _moved(start, delta, distance)), photo, weight, 0.5)

    best = _minimise(coarse, [torch.zeros(6)], _COARSE_STEPS, _COARSE_RATE)
    best = _minimise(fine, [torch.zeros(6), best], _FINE_STEPS, _FINE_RATE)
    pose = _moved(start, best, distance).detach().double()
    # A rotation to the last digit: what was computed in float32 is not quite one.
    rotation = rigid.so3_exp(best[:3].double()) @ view.world_to_camera[:3, :3]
    exact = rigid.from_rotation_translation(rotation, pose[:3, 3])
    return Registration(replace(view, world_to_camera=exact), math.degrees(float(best[:3].norm())))


def _minimise(loss: Callable[[Tensor], Tensor], starts: Sequence[Tensor], steps: int, rate: float) -> Tensor:
    """The best of what Adam comes across, from the best of `starts`: turn and shift [6]."""
    with torch.no_grad():
        values = [float(loss(start)) for start in starts]
    least, best = min(zip(values, starts, strict=True), key=lambda pair: pair[0])
    delta = best.clone().requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=rate, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * _FALL ** (step / steps)
        value = loss(delta)
        if float(value.detach()) < least:
            least, best = float(value.detach()), delta.detach().clone()
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for part, limit in ((delta[:3], _MAX_TURN), (delta[3:], _MAX_SHIFT)):
                part.mul_(min(1.0, limit / max(float(part.norm()), 1e-12)))
    return best


def _moved(world_to_camera: Tensor, delta: Tensor, distance: float) -> Tensor:
    """The camera turned by delta[:3] about itself, rad, and shifted by distance * delta[3:], in its own axes."""
    turn = rigid.from_rotation_translation(rigid.so3_exp(delta[:3]), distance * delta[3:])
    return turn @ world_to_camera


def _halved(view: View, photo: Tensor, weight: Tensor | None) -> tuple[View, Tensor, Tensor | None]:
    """The view and its photo at half the resolution."""
    pooled = torch.nn.functional.avg_pool2d(photo.permute(2, 0, 1), 2).permute(1, 2, 0).contiguous()
    height, width = pooled.shape[:2]
    camera = view.camera
    cropped = replace(camera, width=2 * width, height=2 * height).resized(width, height)
    mask = None if weight is None else torch.nn.functional.avg_pool2d(weight[None], 2)[0]
    return replace(view, camera=cropped), pooled, mask


@torch.no_grad()
def _distance(view: View, renderer: SplatRenderer) -> float:
    """Median distance along z of what the view sees, scene units; 1 when it sees nothing."""
    depth = renderer.depth(view)
    seen = depth[depth > 0]
    return float(seen.median()) if len(seen) else 1.0
