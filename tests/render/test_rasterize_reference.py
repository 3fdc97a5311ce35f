"""The core against its plain-torch twin: values and every gradient, in double and in single precision."""

from __future__ import annotations

import pytest
import torch
from gaussian_scenes import GaussianScene, random_scene
from torch import Tensor

from recon.render.library import core
from recon.render.rasterize import RasterConfig, Render, rasterize
from recon.render.reference import rasterize_reference

OUTPUTS = ("color", "alpha", "depth", "median_depth", "normal", "features")
# The double build differs from the reference by rounding alone; float by 2^-24 per operation over some hundred of them.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def render_both(
    scene: GaussianScene, dtype: torch.dtype, config: RasterConfig, sh_degree: int, alone: str | None = None
):
    """(render, leaves) of the core in `dtype` and of the reference in double, from the same numbers."""
    features = torch.randn(len(scene.params["means"]), 2, generator=torch.Generator().manual_seed(5)).double()
    background = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    results = []
    for kind in (dtype, torch.float64):
        leaves = {name: value.to(kind).requires_grad_() for name, value in scene.params.items()}
        leaves["world_to_camera"] = scene.world_to_camera.to(kind).requires_grad_()
        leaves["features"] = features.to(kind).requires_grad_()
        leaves["background"] = background.to(kind).requires_grad_()
        params = {name: leaves[name] for name in scene.params}
        common = {
            "sh_degree": sh_degree, "background": leaves["background"], "features": leaves["features"], "config": config
        }  # fmt: skip
        camera = (leaves["world_to_camera"], scene.K.to(kind), scene.width, scene.height)
        if not results:
            wanted = {name: alone in (None, name) for name in ("depth", "normal", "median_depth")}
            render = rasterize(params, *camera, **wanted, **common)
        else:
            render = rasterize_reference(params, *camera, **common)
        results.append((render, leaves))
    return results


def loss_of(render: Render) -> Tensor:
    """A fixed random projection of all outputs, so that no gradient cancels by symmetry."""
    total = torch.zeros((), dtype=torch.float64)
    for i, name in enumerate(OUTPUTS):
        value = getattr(render, name)
        direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        total = total + (value.double() * direction).sum()
    return total


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    return float((found.double() - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("antialias", [False, True], ids=["plain", "antialias"])
@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_values_and_gradients(dtype: torch.dtype, antialias: bool, sh_degree: int) -> None:
    # Seeds for which no alpha of the scene is within float rounding of the cut-off, where one side would skip it.
    scene = random_scene(seed=20 + sh_degree)
    (found, leaves), (wanted, truth) = render_both(scene, dtype, RasterConfig(antialias=antialias), sh_degree)
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(wanted, name)) < TOLERANCE[dtype], name
    assert torch.equal(found.radii > 0, wanted.radii > 0)
    loss_of(found).backward()
    loss_of(wanted).backward()
    for name in truth:
        assert truth[name].grad.abs().max() > 0, name
        assert relative_error(leaves[name].grad, truth[name].grad) < TOLERANCE[dtype], name


@pytest.mark.parametrize("level", core.simd_levels())
def test_every_instruction_set_agrees(level: str) -> None:
    chosen = core.simd_level()
    core.set_simd_level(level)
    try:
        (found, leaves), (wanted, truth) = render_both(random_scene(seed=9), torch.float32, RasterConfig(), 3)
        loss_of(found).backward()
        loss_of(wanted).backward()
    finally:
        core.set_simd_level(chosen)
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(wanted, name)) < 1e-4, name
    for name in truth:
        assert relative_error(leaves[name].grad, truth[name].grad) < 1e-4, name


def test_screen_probe_is_the_gradient_of_the_projected_means() -> None:
    scene = random_scene(seed=3)
    count = len(scene.params["means"])
    probe = torch.zeros(count, 4, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(scene.height, scene.width, 3, generator=torch.Generator().manual_seed(1)).double()
    leaves = scene.leaves()
    render = rasterize(leaves, scene.world_to_camera, scene.K, scene.width, scene.height, screen_probe=probe)
    (render.color * direction).sum().backward()
    assert probe.grad is not None
    # Moving the principal point moves every projected mean alike (the clamp of the Jacobian moves too, but not for
    # the Gaussians inside the frustum, so only those far inside are made visible here).
    signed, absolute = probe.grad[:, :2], probe.grad[:, 2:]
    assert (absolute >= signed.abs() - 1e-12).all()
    assert (absolute.sum(0) > signed.abs().sum(0)).all()
    invisible = render.radii == 0
    assert invisible.any() and (probe.grad[invisible] == 0).all()


def test_many_features_take_several_passes() -> None:
    scene = random_scene(seed=4)
    features = torch.randn(len(scene.params["means"]), 70, generator=torch.Generator().manual_seed(2)).double()
    leaf = features.clone().requires_grad_()
    found = rasterize(
        scene.params, scene.world_to_camera, scene.K, scene.width, scene.height, features=leaf, depth=True, normal=True
    )
    wanted = rasterize_reference(
        scene.params, scene.world_to_camera, scene.K, scene.width, scene.height, features=features
    )
    torch.testing.assert_close(found.features, wanted.features, rtol=0, atol=1e-10)
    found.features.sum().backward()
    assert leaf.grad is not None and (leaf.grad.std(dim=1).max() < 1e-10), "every channel weighs alike"


def test_a_batch_of_cameras_is_the_stack_of_single_ones() -> None:
    scene = random_scene(seed=6, dtype=torch.float32)
    second = scene.world_to_camera.clone()
    second[0, 3] += 0.2
    cameras = torch.stack([scene.world_to_camera, second])
    both = rasterize(scene.params, cameras, scene.K, scene.width, scene.height, depth=True)
    for i in range(2):
        one = rasterize(scene.params, cameras[i], scene.K, scene.width, scene.height, depth=True)
        assert torch.equal(both.color[i], one.color) and torch.equal(both.depth[i], one.depth)
        assert torch.equal(both.radii[i], one.radii)
