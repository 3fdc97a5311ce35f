"""What must hold whatever the scene: determinism, closed forms, odd arguments, torch.compile."""

from __future__ import annotations

import math

import pytest
import torch
from family_scenes import CASES, random_scene

from recon.render.families import FAMILIES
from recon.render.rasterize import RasterConfig, rasterize


def one_gaussian(sigma: float = 0.1, opacity: float = 0.8, depth: float = 2.0) -> dict[str, torch.Tensor]:
    return {
        "means": torch.tensor([[0.0, 0.0, depth]]),
        "quats": torch.tensor([[1.0, 0, 0, 0]]),
        "log_scales": torch.full((1, 3), math.log(sigma)),
        "opacity_logits": torch.tensor([math.log(opacity / (1 - opacity))]),
        "sh_coeffs": torch.zeros(1, 1, 3),
    }


def test_one_gaussian_has_its_closed_form() -> None:
    f, size = 50.0, 21
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]])
    render = rasterize(one_gaussian(), torch.eye(4), K, size, size, depth=True, median_depth=True)
    variance = (f * 0.1 / 2.0) ** 2 + 0.3
    x = torch.arange(size) + 0.5 - size / 2
    wanted = 0.8 * torch.exp(-0.5 * (x[:, None] ** 2 + x**2) / variance)
    wanted = torch.where(wanted >= 1 / 255, wanted, 0.0)
    torch.testing.assert_close(render.alpha, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(render.color, 0.5 * wanted[..., None].expand(-1, -1, 3), rtol=0, atol=1e-6)
    assert render.depth is not None and render.median_depth is not None
    torch.testing.assert_close(render.depth, torch.where(wanted > 0, 2.0, 0.0), rtol=1e-5, atol=0)
    assert torch.equal(render.median_depth > 0, wanted >= 0.5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_result_and_gradients_do_not_depend_on_threads(case: str, threads: int) -> None:
    scene = random_scene(count=1500, width=150, height=90, dtype=torch.float32, case=case)
    before, results = torch.get_num_threads(), []
    for n in (2, threads):
        torch.set_num_threads(n)
        leaves = scene.leaves()
        camera = scene.world_to_camera.clone().requires_grad_()
        render = rasterize(leaves, camera, scene.K, 150, 90, family=scene.family, depth=True, normal=True)
        (render.color.square().sum() + render.depth.sum() + render.normal.sum()).backward()
        results.append([render.color.detach(), camera.grad, *(leaf.grad for leaf in leaves.values())])
    torch.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_order_of_primitives_does_not_matter(case: str) -> None:
    scene = random_scene(count=200, dtype=torch.float32, case=case)
    shuffle = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    shuffled = {name: value[shuffle] for name, value in scene.params.items()}
    first = rasterize(scene.params, *scene.camera, family=scene.family).color
    assert torch.equal(first, rasterize(shuffled, *scene.camera, family=scene.family).color)


def test_antialiasing_keeps_the_energy_of_a_tiny_gaussian() -> None:
    """A Gaussian far below a pixel adds its own area times opacity, not the filter's."""
    f, size, sigma = 40.0, 31, 0.012
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]])
    scene = one_gaussian(sigma=sigma, opacity=0.95)
    plain = rasterize(scene, torch.eye(4), K, size, size).alpha.sum()
    fair = rasterize(scene, torch.eye(4), K, size, size, config=RasterConfig(antialias=True)).alpha.sum()
    variance = (f * sigma / 2) ** 2
    assert plain > 1.2
    # det(S) / det(S + eps I), square root: the ratio of areas for an isotropic footprint.
    assert float(fair / plain) == pytest.approx(variance / (variance + 0.3), rel=0.2)  # alpha below 1/255 is cut off


def test_compiled_function_renders_and_differentiates() -> None:
    scene = random_scene(count=100, dtype=torch.float32)

    def loss(means: torch.Tensor) -> torch.Tensor:
        params = {**scene.params, "means": means * 1.0}
        return rasterize(params, scene.world_to_camera, scene.K, scene.width, scene.height).color.square().mean()

    eager, compiled = (scene.params["means"].clone().requires_grad_() for _ in range(2))
    a = loss(eager)
    a.backward()
    b = torch.compile(loss, backend="aot_eager")(compiled)
    b.backward()
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(eager.grad, compiled.grad)


@pytest.mark.parametrize("case", CASES)
def test_operator_passes_torchs_own_checks(case: str) -> None:
    scene = random_scene(count=40, dtype=torch.float64, case=case)
    leaves, family = scene.leaves(), FAMILIES[scene.family]
    points = family.points(leaves)
    arguments = (
        [leaves[name] for name in family.parameters], leaves["sh_coeffs"], None, scene.world_to_camera, scene.K, None,
        None, family.kernel(points), points, scene.width, scene.height, 3, True, True, True, 0.01, 1e10, 0.3, False,
        0.999,
    )  # fmt: skip
    torch.library.opcheck(
        torch.ops.recon.rasterize,
        arguments,
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world_to_camera": torch.eye(3)}, "world_to_camera"),
        ({"Ks": torch.eye(4)}, "Ks"),
        ({"width": 0}, "0x"),
        ({"background": torch.zeros(4)}, "background"),
        ({"features": torch.zeros(3, 2)}, "features"),
        ({"family": "cube"}, "gaussian"),
        ({"family": "triangle"}, "vertices"),
        ({"screen_probe": torch.zeros(1, 4)}, "screen_probe"),
        ({"sh_degree": 2}, "degree 0"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[str, object], message: str) -> None:
    arguments = {"world_to_camera": torch.eye(4), "Ks": torch.eye(3), "width": 4, "height": 4, **change}
    with pytest.raises(ValueError, match=message):
        rasterize(one_gaussian(), **arguments)


def test_antialias_is_refused_where_it_has_no_meaning() -> None:
    scene = random_scene(case="triangle")
    with pytest.raises(ValueError, match="gaussian, exponential; not for triangle"):
        rasterize(scene.params, *scene.camera, family="triangle", config=RasterConfig(antialias=True))


@pytest.mark.parametrize("points", [2, 9])
def test_convexes_have_three_to_eight_points(points: int) -> None:
    scene = random_scene(case="convex-6")
    params = {**scene.params, "points": torch.zeros(60, points, 3).double()}
    with pytest.raises(ValueError, match=r"3\.\.8"):
        rasterize(params, *scene.camera, family="convex")
