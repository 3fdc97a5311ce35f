"""Broken, degenerate and extreme primitives: outputs and gradients stay finite, and neighbours are not harmed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from family_scenes import CASES, FamilyScene, random_scene
from torch import Tensor

from recon.render.families import FAMILIES
from recon.render.rasterize import Render, rasterize


def render_and_check(scene: FamilyScene, params: dict[str, Tensor], width: int = 0, height: int = 0) -> Render:
    """Every output and every gradient is finite."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    camera = scene.world_to_camera.clone().requires_grad_()
    probe = torch.zeros(len(params["sh_coeffs"]), 5, dtype=camera.dtype, requires_grad=True)
    render = rasterize(
        leaves, camera, scene.K, width or scene.width, height or scene.height, family=scene.family, depth=True,
        normal=True, median_depth=True, screen_probe=probe,
    )  # fmt: skip
    outputs = [render.color, render.alpha, render.depth, render.median_depth, render.normal]
    assert all(value is not None and value.isfinite().all() for value in outputs)
    sum(value.square().sum() for value in outputs if value is not None).backward()
    for name, leaf in {**leaves, "camera": camera, "probe": probe}.items():
        assert leaf.grad is not None and leaf.grad.isfinite().all(), name
    return render


@pytest.mark.parametrize("case", CASES)
def test_no_primitives_show_the_background(case: str) -> None:
    scene = random_scene(case=case, dtype=torch.float32)
    empty = {name: value[:0].requires_grad_() for name, value in scene.params.items()}
    background = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    render = rasterize(empty, *scene.camera, family=scene.family, background=background, normal=True)
    assert torch.equal(render.color, background.expand(scene.height, scene.width, 3)) and not render.alpha.any()
    render.color.sum().backward()
    assert float(background.grad.sum()) == 3 * scene.height * scene.width


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("case", CASES)
def test_a_broken_primitive_harms_no_other(case: str, value: float) -> None:
    scene = random_scene(count=50, dtype=torch.float32, case=case)
    without = {name: tensor[1:] for name, tensor in scene.params.items()}
    clean = rasterize(without, *scene.camera, family=scene.family).color
    for name in FAMILIES[scene.family].parameters:
        broken = {key: tensor.clone() for key, tensor in scene.params.items()}
        broken[FAMILIES[scene.family].positions][0] -= broken[FAMILIES[scene.family].positions][0].mean()  # into view
        broken[name][0] = value
        leaves = {key: tensor.requires_grad_() for key, tensor in broken.items()}
        render = rasterize(leaves, *scene.camera, family=scene.family)
        render.color.sum().backward()
        for key, leaf in leaves.items():
            assert leaf.grad is not None and leaf.grad.isfinite().all(), (name, key)
        # An infinite logit or logarithm is a limit and may be drawn; a NaN, or a place that is none, must not.
        if math.isnan(value) or name in ("means", "quats", "vertices", "points"):
            assert torch.equal(render.color, clean), name
            assert all(not leaf.grad[0].any() for leaf in leaves.values()), name
        else:
            assert render.color.isfinite().all(), name


def collapse(params: dict[str, Tensor], name: str) -> None:
    """All primitives without any extent."""
    if name in ("vertices", "points"):
        params[name][:] = params[name][:, :1]
    else:
        params["log_scales"][:] = -60.0


def flatten(params: dict[str, Tensor], name: str) -> None:
    """All points on a line, one axis zero."""
    if name in ("vertices", "points"):
        params[name][..., 1:] = params[name][:, :1, 1:]
    else:
        params["log_scales"][:, 1] = -60.0


def inflate(params: dict[str, Tensor], name: str) -> None:
    """Primitives as large as the whole scene and beyond the camera."""
    if name in ("vertices", "points"):
        params[name] *= 300.0
    else:
        params["log_scales"] += 8.0


def opaque(params: dict[str, Tensor], name: str) -> None:
    params["opacity_logits"][:] = 1e4


def transparent(params: dict[str, Tensor], name: str) -> None:
    params["opacity_logits"][:] = -1e4


def behind(params: dict[str, Tensor], name: str) -> None:
    params[name] -= torch.tensor([-0.3, 0.4, 30.0])


def on_the_camera_plane(params: dict[str, Tensor], name: str) -> None:
    params[name][..., 2] = -3.0


def far_away(params: dict[str, Tensor], name: str) -> None:
    params[name] *= 1e6


CHANGES = [collapse, flatten, inflate, opaque, transparent, behind, on_the_camera_plane, far_away]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
@pytest.mark.parametrize("case", CASES)
def test_extremes(case: str, change: Callable[[dict[str, Tensor], str], None]) -> None:
    scene = random_scene(dtype=torch.float32, case=case)
    params = {name: value.clone() for name, value in scene.params.items()}
    change(params, FAMILIES[scene.family].positions)
    render = render_and_check(scene, params)
    if change in (transparent, behind):
        assert not render.alpha.any() and not render.radii.any()
    if change is collapse and case.startswith(("triangle", "convex")):
        assert not render.alpha.any(), "nothing has an area"


@pytest.mark.parametrize("case", CASES)
def test_ten_thousand_on_one_pixel(case: str) -> None:
    scene = random_scene(dtype=torch.float32, case=case)
    params = {name: value[10:11].repeat(10_000, *[1] * (value.ndim - 1)) for name, value in scene.params.items()}
    name = FAMILIES[scene.family].positions
    center = params[name].reshape(10_000, -1, 3).mean(1)
    params[name] -= center if params[name].ndim == 2 else center[:, None]
    params["opacity_logits"][:] = -3.0
    render = render_and_check(scene, params)
    assert float(render.alpha.max()) > 0.99


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7680, 4)], ids=["1x1", "8k wide"])
@pytest.mark.parametrize("case", CASES)
def test_image_sizes(case: str, width: int, height: int) -> None:
    scene = random_scene(dtype=torch.float32, case=case)
    K = scene.K.clone()
    K[0] *= width / scene.width
    K[1] *= height / scene.height
    stretched = FamilyScene(scene.family, scene.params, scene.world_to_camera, K, width, height)
    assert render_and_check(stretched, dict(scene.params)).color.shape == (height, width, 3)


def test_a_whole_8k_image() -> None:
    scene = random_scene(dtype=torch.float32, sh_degree=0)
    K = scene.K.clone()
    K[0] *= 7680 / scene.width
    K[1] *= 4320 / scene.height
    with torch.no_grad():
        small = rasterize(scene.params, *scene.camera)
        large = rasterize(scene.params, scene.world_to_camera, K, 7680, 4320)
    assert large.color.isfinite().all()
    assert float((large.alpha.mean() - small.alpha.mean()).abs()) < 0.1
