"""What holds for every family: start, gradients, density control, resume, scene graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from random_splats import random_family
from tiny_capture import SIZE, make_capture

from recon.render.rasterize import rasterize
from recon.scene import Node, Scene
from recon.scene.store import SceneStore
from recon.splats.checkpoint import FILE_NAME
from recon.splats.config import SplatsConfig
from recon.splats.density import GradientConfig, McmcConfig
from recon.splats.families import FAMILIES, Seeds, make_family
from recon.splats.families.surfel import turned
from recon.splats.init import InitConfig
from recon.splats.optimize import optimize
from recon.splats.schedule import ResolutionConfig

CASES: dict[str, dict[str, Any]] = {
    **{name: {"primitive": name} for name in FAMILIES},
    "modulated": {"primitive": "exponential", "exponential": {"form": "modulated"}},
    "convex of 4": {"primitive": "convex", "convex": {"num_points": 4}},
    "solid": {"primitive": "triangle", "triangle": {"solid": True}},
}
STRATEGIES = {
    "gradient": GradientConfig(
        start=10, stop=0.95, every=10, grow_gradient=1e-5, reset_every=25, split_size=0.05, cap=300
    ),
    "mcmc": McmcConfig(start=10, stop=0.95, every=10, growth=1.2, cap=150),
}


def config(case: str, strategy: str = "gradient", iterations: int = 40) -> SplatsConfig:
    return SplatsConfig(
        iterations=iterations, sh_interval=20, density=STRATEGIES[strategy], init=InitConfig(min_points=10),
        resolution=ResolutionConfig(start_divisor=1), **CASES[case],
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_initial_parameters_show_the_seeds(case: str) -> None:
    family = make_family(config(case))
    g = torch.Generator().manual_seed(0)
    n = 40
    positions = torch.cat([torch.rand(n, 2, generator=g) - 0.5, torch.zeros(n, 1)], dim=1)
    colors = torch.tensor([[0.9, 0.5, 0.2]]).expand(n, 3)
    seeds = Seeds(
        positions, colors, torch.full((n,), 0.05), torch.tensor([[0.0, 0, -1]]).expand(n, 3), torch.full((n,), 3.0)
    )
    params = family.initial_parameters(seeds, opacity=0.6, sh_degree=1)
    assert set(family.learning_rates(1.0, 0.5)) == set(params)
    assert all(len(value) == n and value.isfinite().all() for value in params.values())
    torch.testing.assert_close(family.opacities(params), torch.full((n,), 0.6))
    sizes = family.sizes(params)
    assert (sizes > 0.01).all() and (sizes < 0.3).all(), "of the order of the seeds' size"
    camera = torch.eye(4)
    camera[2, 3] = 3.0
    K = torch.tensor([[80.0, 0, 32], [0, 80.0, 32], [0, 0, 1]])
    name, drawn = family.rendered(params)
    render = rasterize(drawn, camera, K, 64, 64, family=name)
    assert (render.radii > 0).all() and float(render.alpha.max()) > 0.4
    seen = render.alpha > 0.1
    torch.testing.assert_close(render.color[seen] / render.alpha[seen][:, None], colors[:1].expand(int(seen.sum()), 3))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", CASES)
def test_optimising_lowers_the_loss_and_resumes_bit_for_bit(case: str, strategy: str, tmp_path: Path) -> None:
    capture = make_capture()
    settings = config(case, strategy)
    whole = optimize(capture.scene, settings, images=capture.images)
    losses = [row["loss"] for row in whole.history]
    assert min(losses[1:]) < losses[0], "before opacities are reset, or triangles have to be solid"
    assert whole.scene.splats is not None and len(whole.scene.splats) > 0
    assert all(value.isfinite().all() for value in whole.scene.splats.params.values())
    assert whole.scene.splats.family == ("gaussian" if case == "modulated" else settings.primitive)

    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count == 23

    optimize(capture.scene, settings, images=capture.images, checkpoint_dir=tmp_path, should_stop=stop)
    assert (tmp_path / FILE_NAME).exists()
    resumed = optimize(capture.scene, settings, images=capture.images, resume_from=tmp_path)
    assert resumed.scene.splats is not None
    for name, value in whole.scene.splats.params.items():
        assert torch.equal(value, resumed.scene.splats[name]), name


def test_solid_triangles_end_opaque_and_hard() -> None:
    capture = make_capture()
    settings = config("solid", iterations=100)
    splats = optimize(capture.scene, settings, images=capture.images).scene.splats
    assert splats is not None
    assert (splats["opacity_logits"].sigmoid() > 0.95).float().mean() > 0.9
    assert (splats["log_sigmas"].exp() < 0.02).float().mean() > 0.9


@pytest.mark.parametrize("case", CASES)
def test_split_covers_what_was_there(case: str) -> None:
    family = make_family(config(case))
    rows = random_family(CASES[case]["primitive"], 4).params
    if case == "modulated":
        rows = {**rows, "shape_logits": torch.zeros(4)}
    parts = family.split(rows, torch.Generator().manual_seed(0))
    count = len(parts["sh_coeffs"])
    assert count % 4 == 0 and count > 4 and {len(value) for value in parts.values()} == {count}
    assert (family.sizes(parts) < family.sizes(rows).repeat(count // 4)).all()
    # The first parts belong to the first rows: colours tell.
    assert torch.equal(parts["sh_coeffs"][:4], rows["sh_coeffs"]) and torch.equal(
        parts["sh_coeffs"][4:8], rows["sh_coeffs"]
    )


def test_four_triangles_fill_one() -> None:
    family = make_family(config("triangle"))
    rows = random_family("triangle", 3).params

    def areas(v: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cross(v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]).norm(dim=-1) / 2

    parts = family.split(rows, torch.Generator())["vertices"]
    torch.testing.assert_close(areas(parts), areas(rows["vertices"]).repeat(4) / 4)


@pytest.mark.parametrize("case", CASES)
def test_copies_on_top_of_each_other_let_as_much_through(case: str) -> None:
    family = make_family(config(case))
    rows = random_family(CASES[case]["primitive"], 4).params
    shared = family.shared(rows, torch.tensor([1, 2, 3, 5]))
    through = (1 - family.opacities(shared)) ** torch.tensor([1, 2, 3, 5])
    torch.testing.assert_close(through, 1 - family.opacities(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_jitter_moves_within_the_shape(case: str) -> None:
    family = make_family(config(case))
    params = {
        name: value.clone().requires_grad_()
        for name, value in random_family(CASES[case]["primitive"], 50).params.items()
    }
    before = params[family.position_parameter].detach().clone()
    rows = torch.arange(0, 50, 2)
    family.jitter(params, rows, torch.full((25,), 0.1), torch.Generator().manual_seed(0))
    moved = (params[family.position_parameter].detach() - before).reshape(50, -1, 3)
    assert not moved[1::2].any() and moved[::2].any()
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), rtol=0, atol=1e-6)  # shapes stay


def test_turned_quaternions_point_the_third_axis() -> None:
    from recon.geometry import quaternion

    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    normals = torch.cat([normals, torch.tensor([[0.0, 0, 1], [0.0, 0, -1], [1.0, 0, 0]])])
    torch.testing.assert_close(quaternion.to_matrix(turned(normals))[..., 2], normals, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sh_degree", [0, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_scene_graph_keeps_every_family(family: str, sh_degree: int, tmp_path: Path) -> None:
    splats = random_family(family, 7, sh_degree)
    with SceneStore(tmp_path).begin("splats", "key") as writer:
        writer.publish(Scene(()).with_node(Node("splats", splats, kind="scene")))
    again = SceneStore(tmp_path).load().splats
    assert again is not None and again.family == family
    for name, value in splats.params.items():
        torch.testing.assert_close(again[name], value, rtol=1e-5, atol=1e-5, msg=name)
    # What is stored looks the same.
    camera = torch.eye(4)
    camera[2, 3] = 4.0
    K = torch.tensor([[60.0, 0, SIZE[0] / 2], [0, 60.0, SIZE[1] / 2], [0, 0, 1]])
    images = [rasterize(one.params, camera, K, *SIZE, family=family).color for one in (splats, again)]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-3)
