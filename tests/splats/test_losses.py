from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon.splats.config import LossConfig
from recon.splats.losses import choose_background, photometric_loss, squared_error
from recon.splats.photos import TrainingPhoto

G = torch.Generator().manual_seed(0)
OPAQUE = TrainingPhoto("a", torch.rand(24, 32, 3, generator=G), None, None, torch.eye(4), torch.eye(3))
HALF = torch.cat([torch.ones(24, 16), torch.zeros(24, 16)], dim=1)


def test_a_perfect_render_costs_nothing() -> None:
    assert float(photometric_loss(OPAQUE.rgb, OPAQUE, torch.zeros(3), LossConfig())) == pytest.approx(0, abs=1e-6)
    assert squared_error(OPAQUE.rgb, OPAQUE, torch.zeros(3)) == 0


def test_without_ssim_it_is_the_mean_absolute_difference() -> None:
    render = torch.rand(24, 32, 3, generator=G)
    loss = photometric_loss(render, OPAQUE, torch.zeros(3), LossConfig(ssim_weight=0.0))
    assert float(loss) == pytest.approx(float((render - OPAQUE.rgb).abs().mean()), rel=1e-5)


def test_pixels_without_weight_do_not_count() -> None:
    photo = replace(OPAQUE, weight=HALF)
    render = OPAQUE.rgb.clone()
    render[:, 16:] = 0.5
    assert squared_error(render, photo, torch.zeros(3)) == 0
    assert float(photometric_loss(render, photo, torch.zeros(3), LossConfig(ssim_weight=0.0))) == 0
    render[:, :16] += 0.25
    wrong = float((render.clamp(0, 1) - OPAQUE.rgb)[:, :16].square().mean())
    assert squared_error(render, photo, torch.zeros(3)) == pytest.approx(wrong, rel=1e-5)


def test_only_photos_with_coverage_get_random_backgrounds() -> None:
    g = torch.Generator().manual_seed(0)
    covered = replace(OPAQUE, alpha=HALF)
    first, second = (choose_background(covered, LossConfig(), (1.0, 1.0, 1.0), g) for _ in range(2))
    assert not torch.equal(first, second)
    assert choose_background(covered, LossConfig(background="capture"), (1.0, 0.5, 0.0), g).tolist() == [1, 0.5, 0]
    assert choose_background(OPAQUE, LossConfig(), None, g).tolist() == [0, 0, 0]


def test_the_patch_that_is_furthest_off_is_trimmed() -> None:
    render = OPAQUE.rgb + 0.02
    render[5:15, 5:15] = 1 - OPAQUE.rgb[5:15, 5:15]
    whole, trimmed = (
        float(photometric_loss(render, OPAQUE, torch.zeros(3), LossConfig(ssim_weight=0.0, trim=share)))
        for share in (0.0, 0.3)
    )
    assert whole > 0.05 and trimmed == pytest.approx(0.02, rel=0.01)
    # What the photo's own weight leaves out stays out.
    photo = replace(OPAQUE, weight=HALF)
    render[:, 16:] = 0
    assert float(photometric_loss(render, photo, torch.zeros(3), LossConfig(ssim_weight=0.0, trim=0.9))) < 0.03
