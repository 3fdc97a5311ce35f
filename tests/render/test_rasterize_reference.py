"""The core against its plain-torch twin: values and every gradient, in double and in single precision."""

from __future__ import annotations

import pytest
import torch
from family_scenes import CASES, FamilyScene, random_scene
from torch import Tensor

from recon.render.library import core
from recon.render.rasterize import RasterConfig, Render, rasterize
from recon.render.reference import rasterize_reference

OUTPUTS = ("color", "alpha", "depth", "median_depth", "normal", "features")
# The double build differs from the reference by rounding alone; float by 2^-24 per operation over some hundred of them.
# Edges of triangles and hulls that are a fraction of a pixel apart make differences of coordinates that lose digits.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
EDGED = 10


def render_both(scene: FamilyScene, dtype: torch.dtype, config: RasterConfig, sh_degree: int, alone: str | None = None):
    """(render, leaves) of the core in `dtype` and of the reference in double, from the same numbers."""
    features = torch.randn(len(scene.params["sh_coeffs"]), 2, generator=torch.Generator().manual_seed(5)).double()
    background = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    results = []
    for kind in (dtype, torch.float64):
        leaves = {name: value.to(kind, copy=True).requires_grad_() for name, value in scene.params.items()}
        leaves["world_to_camera"] = scene.world_to_camera.to(kind, copy=True).requires_grad_()
        leaves["features"] = features.to(kind, copy=True).requires_grad_()
        leaves["background"] = background.to(kind, copy=True).requires_grad_()
        params = {name: leaves[name] for name in scene.params}
        common = {
            "sh_degree": sh_degree, "background": leaves["background"], "features": leaves["features"],
            "config": config, "family": scene.family,
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
    assert (found.radii > 0)[wanted.radii > 0].all()
    loss_of(found).backward()
    loss_of(wanted).backward()
    for name in truth:
        assert truth[name].grad.abs().max() > 0, name
        assert relative_error(leaves[name].grad, truth[name].grad) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("case", CASES)
def test_every_family(dtype: torch.dtype, case: str) -> None:
    scene = random_scene(seed=21, case=case)
    (found, leaves), (wanted, truth) = render_both(scene, dtype, RasterConfig(), 1)
    tolerance = TOLERANCE[dtype] * (EDGED if case.startswith(("triangle", "convex")) else 1)
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(wanted, name)) < tolerance, name
    # The core's boxes and tiles may keep what touches no pixel's centre, but lose nothing.
    assert (found.radii > 0)[wanted.radii > 0].all()
    loss_of(found).backward()
    loss_of(wanted).backward()
    for name in truth:
        assert truth[name].grad.abs().max() > 0, name
        assert relative_error(leaves[name].grad, truth[name].grad) < tolerance, name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("level", core.simd_levels())
def test_every_instruction_set_agrees(level: str, case: str) -> None:
    chosen = core.simd_level()
    core.set_simd_level(level)
    try:
        scene = random_scene(seed=9, case=case)
        (found, leaves), (wanted, truth) = render_both(scene, torch.float32, RasterConfig(), 3)
        loss_of(found).backward()
        loss_of(wanted).backward()
    finally:
        core.set_simd_level(chosen)
    tolerance = 1e-4 * (EDGED if case.startswith(("triangle", "convex")) else 1)
    for name in OUTPUTS:
        assert relative_error(getattr(found, name), getattr(wanted, name)) < tolerance, name
    for name in truth:
        assert relative_error(leaves[name].grad, truth[name].grad) < tolerance, name


@pytest.mark.parametrize("case", CASES)
def test_screen_probe(case: str) -> None:
    scene = random_scene(seed=3, case=case)
    count = len(scene.params["sh_coeffs"])
    probe = torch.zeros(count, 5, dtype=torch.float64, requires_grad=True)
    features = torch.eye(count, dtype=torch.float64)[:, :20].contiguous()
    direction = torch.randn(scene.height, scene.width, 3, generator=torch.Generator().manual_seed(1)).double()
    render = rasterize(
        scene.leaves(), *scene.camera, family=scene.family, screen_probe=probe, features=features
    )  # fmt: skip
    (render.color * direction).sum().backward()
    assert probe.grad is not None
    signed, absolute, largest = probe.grad[:, :2], probe.grad[:, 2:4], probe.grad[:, 4]
    assert (absolute >= signed.abs() - 1e-12).all()
    assert (absolute.sum(0) > signed.abs().sum(0)).all()
    # A one-hot feature's image is the primitive's blend weight.
    torch.testing.assert_close(largest[:20], render.features.detach().flatten(0, 1).amax(0), rtol=1e-9, atol=1e-12)
    invisible = render.radii == 0
    assert invisible.any() and (probe.grad[invisible] == 0).all()
    short = torch.zeros(count, 2, dtype=torch.float64, requires_grad=True)
    again = rasterize(scene.leaves(), *scene.camera, family=scene.family, screen_probe=short)
    (again.color * direction).sum().backward()
    torch.testing.assert_close(short.grad, signed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_screen_probe_is_the_gradient_of_a_shift(case: str) -> None:
    """Moving the principal point by a little moves all footprints, and so do all probes together."""
    scene = random_scene(seed=13, case=case)
    inside = rasterize(scene.params, *scene.camera, family=scene.family).means2d
    size = torch.tensor([scene.width, scene.height])
    # Away from the border, where the Jacobian's clamp would move too; opaque enough to be no edge case.
    keep = ((inside > 4) & (inside < size - 4)).all(-1)
    params = {name: value[keep] for name, value in scene.params.items()}
    direction = torch.randn(scene.height, scene.width, 3, generator=torch.Generator().manual_seed(1)).double()
    # No cut-off at all: both sides would jump where an alpha crosses it.
    probe = torch.zeros(int(keep.sum()), 2, dtype=torch.float64, requires_grad=True)

    def loss(shift: float, probe: Tensor | None = None) -> Tensor:
        K = scene.K.clone()
        K[0, 2] += shift
        render = rasterize_reference(params, scene.world_to_camera, K, scene.width, scene.height, family=scene.family)
        return (render.color * direction).sum()

    step = 1e-7
    render = rasterize(params, *scene.camera, family=scene.family, screen_probe=probe)
    (render.color * direction).sum().backward()
    wanted = float(loss(step) - loss(-step)) / (2 * step)
    assert probe.grad is not None
    assert float(probe.grad[:, 0].sum()) == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_many_features_take_several_passes() -> None:
    scene = random_scene(seed=4)
    features = torch.randn(len(scene.params["sh_coeffs"]), 70, generator=torch.Generator().manual_seed(2)).double()
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
