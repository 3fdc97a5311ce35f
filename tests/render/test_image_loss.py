"""The fused loss against the same formula in plain torch, in both precisions and at every instruction set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recon.render.image_loss import l1_ssim, ssim
from recon.render.library import core


def reference(render: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> Tensor:
    """Kerbl et al. 2023, eq. 7, with SSIM's windows as one convolution."""
    x = torch.arange(-5, 6, dtype=render.dtype)
    taps = torch.exp(-(x**2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    window = (taps[:, None] * taps)[None, None]
    a, b = (image.permute(2, 0, 1)[:, None] for image in (render, target))

    def blur(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image, window, padding=5)

    mu_a, mu_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mu_a**2, blur(b * b) - mu_b**2, blur(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    ssim_map = (2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    w = torch.ones(render.shape[:2], dtype=render.dtype) if weight is None else weight
    total = w.sum() * render.shape[2]
    l1 = ((a - b).abs()[:, 0] * w).sum() / total
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - (ssim_map[:, 0] * w).sum() / total)


def images(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(height * 1000 + width)
    base = torch.rand(height, width, 3, generator=g, dtype=torch.float64)
    other = (base + 0.2 * torch.randn(base.shape, generator=g, dtype=torch.float64)).clamp(0, 1)
    return base.to(dtype), other.to(dtype), torch.rand(height, width, generator=g, dtype=torch.float64).to(dtype)


# Sizes below a window, across a band of 16 rows and a pack of 16 columns, and exact multiples.
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (16, 32), (17, 33), (40, 21)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
def test_value_and_gradient(size: tuple[int, int], weighted: bool, ssim_weight: float) -> None:
    a, b, w = images(*size, torch.float64)
    weight = w if weighted else None
    found, wanted = a.clone().requires_grad_(), a.clone().requires_grad_()
    loss, truth = l1_ssim(found, b, weight, ssim_weight), reference(wanted, b, weight, ssim_weight)
    torch.testing.assert_close(loss, truth, rtol=1e-12, atol=1e-12)
    (3 * loss).backward()
    (3 * truth).backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("level", core.simd_levels())
def test_single_precision_at_every_instruction_set(level: str) -> None:
    a, b, w = images(45, 70, torch.float32)
    chosen = core.simd_level()
    core.set_simd_level(level)
    try:
        found = a.clone().requires_grad_()
        loss = l1_ssim(found, b, w)
        loss.backward()
    finally:
        core.set_simd_level(chosen)
    wanted = a.double().requires_grad_()
    truth = reference(wanted, b.double(), w.double(), 0.2)
    truth.backward()
    assert float(loss) == pytest.approx(float(truth), rel=1e-5)
    assert wanted.grad is not None and found.grad is not None
    # Variances are differences of nearly equal numbers: five digits are left of seven.
    assert (found.grad.double() - wanted.grad).abs().max() < 1e-4 * wanted.grad.abs().max()


def test_ssim_of_equal_images_is_one_and_noise_lowers_it() -> None:
    a, b, _ = images(30, 30, torch.float32)
    assert ssim(a, a) == pytest.approx(1, abs=1e-6)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-6) and ssim(a, b) < 0.99


def test_no_weight_anywhere_is_no_loss() -> None:
    a, b, w = images(20, 20, torch.float32)
    leaf = a.clone().requires_grad_()
    loss = l1_ssim(leaf, b, torch.zeros_like(w))
    loss.backward()
    assert leaf.grad is not None and not leaf.grad.any() and loss.isfinite()


@pytest.mark.parametrize("bad", [torch.zeros(4, 5, 3), torch.zeros(5, 4), torch.zeros(5, 4, 3).double()])
def test_images_that_do_not_fit_are_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"target|image"):
        l1_ssim(torch.zeros(5, 4, 3), bad)
