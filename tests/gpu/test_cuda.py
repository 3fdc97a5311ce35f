"""The rasteriser on a GPU against the CPU: every family, output and gradient; and what is said where there is none."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from family_scenes import CASES, random_scene

from recon.errors import ReconError
from recon.render import gpu
from recon.render.gpu import LaterCounts, counted_later, module
from recon.render.rasterize import Render, rasterize

OUTPUTS = ("color", "alpha", "depth", "median_depth", "normal", "features")
cuda = pytest.mark.cuda
needs_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.mark.skipif(importlib.util.find_spec("recon._cuda") is not None, reason="this build has a CUDA half")
def test_without_a_cuda_half_the_error_says_how_to_get_one() -> None:
    with pytest.raises(ReconError, match="RECON_CUDA=ON"):
        module()


def render_on(device: str, case: str, seed: int) -> tuple[Render, dict[str, torch.Tensor]]:
    scene = random_scene(count=300, width=150, height=90, seed=seed, dtype=torch.float32, case=case)
    leaves = {name: value.to(device, copy=True).requires_grad_() for name, value in scene.params.items()}
    params = dict(leaves)
    leaves["world_to_camera"] = scene.world_to_camera.to(device).requires_grad_()
    generator = torch.Generator().manual_seed(5)
    leaves["features"] = torch.randn(300, 12, generator=generator).to(device).requires_grad_()
    leaves["background"] = torch.tensor([0.2, 0.5, 0.8], device=device).requires_grad_()
    leaves["probe"] = torch.zeros(300, 5, device=device).requires_grad_()
    K = scene.K.clone()
    K[:2] *= 4
    render = rasterize(
        params, leaves["world_to_camera"], K.to(device), 150, 90, family=scene.family, depth=True, normal=True,
        median_depth=True, background=leaves["background"], features=leaves["features"], screen_probe=leaves["probe"],
    )  # fmt: skip
    total = torch.zeros((), device=device)
    for i, name in enumerate(OUTPUTS):
        value = getattr(render, name)
        direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(i)).to(device)
        total = total + (value * direction).sum()
    total.backward()
    return render, leaves


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.cpu() - wanted).abs().max() / wanted.abs().max().clamp_min(1e-6))


@cuda
@needs_device
@pytest.mark.parametrize("case", CASES)
def test_the_gpu_agrees_with_the_cpu(case: str) -> None:
    (found, leaves), (wanted, truth) = render_on("cuda", case, 3), render_on("cpu", case, 3)
    assert torch.equal(found.radii.cpu() > 0, wanted.radii > 0)
    for name in OUTPUTS:
        # exp2 and log2 of the two differ by 1e-6; a pixel within that of the cut-off may count a primitive or not.
        error = (getattr(found, name).cpu() - getattr(wanted, name)).abs().flatten()
        scale = float(getattr(wanted, name).abs().max())
        assert float((error > 1e-3 * scale).float().mean()) < 2e-3, name
    for name, leaf in truth.items():
        assert leaf.grad is not None and leaves[name].grad is not None
        assert relative_error(leaves[name].grad, leaf.grad) < 2e-2, name


@cuda
@needs_device
@pytest.mark.parametrize("case", CASES)
def test_a_captured_graph_replays(case: str) -> None:
    scene = random_scene(count=300, dtype=torch.float32, case=case)
    params = {name: value.cuda() for name, value in scene.params.items()}
    camera = (scene.world_to_camera.cuda(), scene.K.cuda(), scene.width, scene.height)
    with torch.no_grad():
        wanted = rasterize(params, *camera, family=scene.family).color  # also makes room for the instances
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = rasterize(params, *camera, family=scene.family).color
        graph.replay()
    torch.testing.assert_close(captured, wanted)


@cuda
@needs_device
def test_no_primitives() -> None:
    scene = random_scene(dtype=torch.float32)
    empty = {name: value[:0].cuda() for name, value in scene.params.items()}
    background = torch.tensor([0.1, 0.2, 0.3]).cuda()
    render = rasterize(
        empty, scene.world_to_camera.cuda(), scene.K.cuda(), scene.width, scene.height, background=background
    )
    assert torch.equal(render.color, background.expand(scene.height, scene.width, 3))


def test_counts_are_settled_later(monkeypatch: pytest.MonkeyPatch) -> None:
    room = {torch.device("cpu"): 100}
    monkeypatch.setattr(gpu, "_room", room)
    counts = LaterCounts()
    assert not counts.trusts((5, 40, 30)), "the first render of a size is waited for"
    assert counts.trusts((5, 40, 30)) and not counts.trusts((6, 40, 30)) and counts.trusts((6, 40, 30))
    assert counts.settle(), "nothing was rendered"
    for total in (70, 90, 80):
        counts.note(torch.tensor([total]))
    assert counts.settle() and room[torch.device("cpu")] == 100
    counts.note(torch.tensor([120]))
    counts.note(torch.tensor([60]))
    assert not counts.settle() and room[torch.device("cpu")] == 150 and counts.settle()
    with counted_later() as outer:
        outer.note(torch.tensor([1000]))
    assert room[torch.device("cpu")] == 1250, "settled at the end"


@cuda
@needs_device
def test_a_render_that_nobody_waits_for() -> None:
    scene = random_scene(count=300, dtype=torch.float32)
    params = {name: value.cuda() for name, value in scene.params.items()}
    camera = (scene.world_to_camera.cuda(), scene.K.cuda(), scene.width, scene.height)
    with torch.no_grad():
        wanted = rasterize(params, *camera).color
        with counted_later() as counts:
            first, second = rasterize(params, *camera).color, rasterize(params, *camera).color
            assert counts.settle() and torch.equal(first, wanted) and torch.equal(second, wanted)
            gpu._room[wanted.device] = 10
            assert not torch.equal(rasterize(params, *camera).color, wanted), "the farthest are missing"
            assert not counts.settle()
            assert torch.equal(rasterize(params, *camera).color, wanted)
