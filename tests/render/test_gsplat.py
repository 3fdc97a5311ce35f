"""The same Gaussians through gsplat 1.5: what it projects and shades on the CPU, and its pictures on a GPU."""

from __future__ import annotations

import pytest
import torch
from family_scenes import random_scene
from torch import Tensor

from recon.render.rasterize import RasterConfig, rasterize

gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install -e '.[dev]'")

SIZE = 48, 40


def composited(leaves: dict[str, Tensor], K: Tensor, antialias: bool) -> tuple[Tensor, Tensor]:
    """Colour [H, W, 3] and alpha [H, W] from gsplat's projection and harmonics, pixel by pixel in plain torch."""
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _spherical_harmonics

    width, height = SIZE
    covariances, _ = _quat_scale_to_covar_preci(leaves["quats"], leaves["log_scales"].exp(), compute_preci=False)
    camera = leaves["world_to_camera"]
    _, means2d, depths, conics, compensations = (
        None if value is None else value[0]
        for value in _fully_fused_projection(
            leaves["means"], covariances, camera[None], K[None], width, height, calc_compensations=antialias
        )
    )
    position = -camera[:3, :3].T @ camera[:3, 3]
    shade = _spherical_harmonics(3, leaves["means"] - position, leaves["sh_coeffs"])
    colors = (shade + 0.5).clamp_min(0)
    opacities = leaves["opacity_logits"].sigmoid()
    if compensations is not None:
        opacities = opacities * compensations
    rows, columns = (torch.arange(size, dtype=K.dtype) + 0.5 for size in (height, width))
    ys, xs = torch.meshgrid(rows, columns, indexing="ij")
    order = [int(i) for i in depths.argsort() if float(depths[i].detach()) > 0.01]
    transmittance, color = torch.ones(height, width, dtype=K.dtype), torch.zeros(height, width, 3, dtype=K.dtype)
    for i in order:
        dx, dy = means2d[i, 0] - xs, means2d[i, 1] - ys
        a, b, c = conics[i]
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[i] * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where((alpha >= 1 / 255) & (power >= 0), alpha, 0.0)
        alpha = torch.where(transmittance * (1 - alpha) > 1e-4, alpha, 0.0)
        color = color + (transmittance * alpha)[..., None] * colors[i]
        transmittance = transmittance * (1 - alpha)
    return color, 1 - transmittance


def scene_leaves() -> tuple[dict[str, Tensor], Tensor]:
    scene = random_scene(count=40, width=SIZE[0], height=SIZE[1], seed=4, dtype=torch.float64, case="gaussian")
    # Opaque enough that nothing ends at the limit of transmittance, where the two may stop one Gaussian apart.
    params = {name: value.clone() for name, value in scene.params.items()}
    params["opacity_logits"].clamp_(max=0.5)
    leaves = {**params, "world_to_camera": scene.world_to_camera.clone()}
    return {name: value.requires_grad_() for name, value in leaves.items()}, scene.K


@pytest.mark.parametrize("antialias", [False, True])
def test_pictures_and_gradients_agree_with_gsplats_formulas(antialias: bool) -> None:
    leaves, K = scene_leaves()
    truth, _ = scene_leaves()
    params = {name: value for name, value in leaves.items() if name != "world_to_camera"}
    found = rasterize(params, leaves["world_to_camera"], K, *SIZE, config=RasterConfig(antialias=antialias))
    color, alpha = composited(truth, K, antialias)
    assert float(alpha.max()) > 0.5
    torch.testing.assert_close(found.alpha, alpha, atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(found.color, color, atol=1e-9, rtol=1e-7)
    direction = torch.randn(color.shape, generator=torch.Generator().manual_seed(1), dtype=color.dtype)
    (found.color * direction).sum().backward()
    (color * direction).sum().backward()
    for name, leaf in truth.items():
        mine, wanted = leaves[name].grad, leaf.grad
        assert mine is not None and wanted is not None
        rows = slice(3 if name == "world_to_camera" else None)  # its last row is no parameter
        torch.testing.assert_close(mine[rows], wanted[rows], atol=1e-8, rtol=1e-6, msg=name)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat renders on CUDA alone")
@pytest.mark.parametrize("packed", [False, True])
def test_pictures_agree_with_gsplat_on_a_gpu(packed: bool) -> None:
    leaves, K = scene_leaves()
    there = {name: value.detach().float().cuda() for name, value in leaves.items()}
    camera = there.pop("world_to_camera")
    wanted, alpha, _ = gsplat.rasterization(
        there["means"], there["quats"], there["log_scales"].exp(), there["opacity_logits"].sigmoid(),
        there["sh_coeffs"], camera[None], K.float().cuda()[None], *SIZE, sh_degree=3, packed=packed,
    )  # fmt: skip
    found = rasterize(there, camera, K.float().cuda(), *SIZE)
    # Both leave out what is fainter than 1/255; rounding decides about a Gaussian that is as faint as that.
    assert float(((found.color - wanted[0]).abs() > 5e-3).float().mean()) < 5e-3
    assert float(((found.alpha - alpha[0, ..., 0]).abs() > 5e-3).float().mean()) < 5e-3
