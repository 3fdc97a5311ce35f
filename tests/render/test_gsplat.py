"""The same Gaussians through gsplat 1.5: what it projects and shades on the CPU, and its pictures on a GPU."""

from __future__ import annotations

import pytest
import torch
from family_scenes import random_scene
from gsplat_by_hand import composited
from torch import Tensor

from recon.render.rasterize import RasterConfig, rasterize

gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install -e '.[dev]'")

SIZE = 48, 40


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
    color, alpha = composited(truth, truth["world_to_camera"], K, SIZE, antialias)
    assert float(alpha.detach().max()) > 0.5
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
