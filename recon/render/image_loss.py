"""The fused photometric loss, and SSIM as a metric.

SSIM: Wang et al. 2004 with an 11 x 11 Gaussian window of sigma 1.5, zero padding and data range 1, the mean over
channels, as in 3D Gaussian Splatting's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recon.render import gpu
from recon.render.library import core, kernels, pointer


def l1_ssim(render: Tensor, target: Tensor, weight: Tensor | None = None, ssim_weight: float = 0.2) -> Tensor:
    """(1 - w) mean |render - target| + w (1 - mean SSIM), a scalar that is differentiable in `render`.

    render, target: [H, W, C].   weight: [H, W] >= 0; both means are weighted by it (the SSIM windows are not).
    Source: Kerbl et al. 2023, eq. 7.
    """
    return _loss(_planar(render), _planar(target), weight, ssim_weight)[0]


def ssim(a: Tensor, b: Tensor) -> float:
    """Mean SSIM of two images [H, W, C] in [0, 1]."""
    _, _, value = _run(_planar(a.detach()), _planar(b.detach()), None, 1.0, None)
    return float(value)


def _planar(image: Tensor) -> Tensor:
    """[H, W, C] to contiguous [C, H, W]; free for what `rasterize` returns, which is stored that way."""
    if image.ndim != 3:
        raise ValueError(f"image is {tuple(image.shape)}; expected [H, W, C]")
    return image.permute(2, 0, 1).contiguous()


def _run(
    image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float, v_image: Tensor | None
) -> Sequence[float] | Tensor:
    """Loss, weighted mean |a - b| and weighted mean SSIM: numbers, or a tensor [3] on a GPU."""
    if image.shape != target.shape or image.dtype != target.dtype:
        raise ValueError(f"target is {tuple(target.shape)} {target.dtype}; image is {tuple(image.shape)} {image.dtype}")
    channels, height, width = image.shape
    if image.numel() == 0:
        raise ValueError(f"image is empty: {tuple(image.shape)}")
    if weight is not None:
        if weight.shape != (height, width):
            raise ValueError(f"weight is {tuple(weight.shape)}; expected ({height}, {width})")
        weight = weight.to(image.dtype).contiguous()
    scratch = None if v_image is None else image.new_empty(3, *image.shape)
    rows = None if image.is_cuda else image.new_empty(channels, height, 3)
    native = core.f32 if image.is_cuda else kernels(image)
    args = native.ImageLossArgs(
        channels=channels, height=height, width=width, ssim_weight=ssim_weight, image=pointer(image),
        target=pointer(target), weight=pointer(weight), v_image=pointer(v_image), scratch=pointer(scratch),
        rows=pointer(rows),
    )  # fmt: skip
    found: Sequence[float] | Tensor = gpu.image_loss(args, image) if image.is_cuda else native.image_loss(args)
    return found


@torch.library.custom_op("recon::l1_ssim", mutates_args=(), device_types=("cpu", "cuda"))
def _loss(image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> tuple[Tensor, Tensor]:
    """Loss [] and its gradient by `image` [C, H, W]: one pass yields both."""
    v_image = torch.empty_like(image)
    value, _, _ = _run(image, target, weight, ssim_weight, v_image)
    return torch.as_tensor(value, dtype=image.dtype, device=image.device).clone(), v_image


@_loss.register_fake
def _(image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> tuple[Tensor, Tensor]:
    return image.new_empty(()), torch.empty_like(image)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, v_loss: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, None, None, None]:
    (v_image,) = ctx.saved_tensors
    return (None if v_loss is None else v_image * v_loss), None, None, None


_loss.register_autograd(_backward, setup_context=_setup)
