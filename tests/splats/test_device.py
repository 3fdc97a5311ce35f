"""Training on a GPU: nothing is left on the CPU by mistake, and what comes out is the CPU's result."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_gpu import CUDA, OnGpu, fake_gpu
from test_families import CASES, STRATEGIES, config
from tiny_capture import make_capture

from recon.errors import ReconError
from recon.events import StageWarning
from recon.render import gpu
from recon.render.device import choose_device
from recon.render.library import core
from recon.splats import optimize as loop
from recon.splats.optimize import optimize


def test_the_fake_gpu_refuses_to_mix() -> None:
    with fake_gpu():
        there = torch.ones(3, device="cuda")
        assert there.device == CUDA and there.is_cuda and isinstance(there + 1, OnGpu)
        assert not isinstance(there.cpu(), OnGpu) and not isinstance(there.to("cpu"), OnGpu)
        with pytest.raises(RuntimeError, match="one device"):
            there + torch.ones(3)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", CASES)
def test_every_tensor_of_a_training_is_on_the_gpu(case: str, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def adam(args: Any, like: torch.Tensor) -> None:
        nonlocal steps
        steps += 1
        core.f32.adam(args)

    monkeypatch.setattr(gpu, "adam", adam)
    monkeypatch.setattr(loop, "choose_device", lambda wanted: (CUDA, None))
    capture = make_capture(alpha=True, background=1.0)
    settings = config(case, strategy)
    with fake_gpu():
        found = optimize(capture.scene, settings, images=capture.images, background=(1.0, 1.0, 1.0))
    monkeypatch.undo()
    wanted = optimize(capture.scene, settings, images=capture.images, background=(1.0, 1.0, 1.0))
    assert steps >= settings.iterations
    assert found.scene.splats is not None and wanted.scene.splats is not None
    for name, value in wanted.scene.splats.params.items():
        mine = found.scene.splats[name]
        assert not isinstance(mine, OnGpu), "the result is on the CPU"
        assert torch.equal(mine, value), name


def test_a_gpu_that_is_not_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert choose_device("auto") == choose_device("cpu") == (torch.device("cpu"), None)
    with pytest.raises(ReconError, match="no CUDA device"):
        choose_device("cuda")


def test_a_gpu_that_this_build_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ReconError("the CUDA half of recon cannot be loaded")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("recon.render.device.module", missing)
    device, reason = choose_device("auto")
    assert device.type == "cpu" and reason is not None and "cannot be loaded" in reason
    with pytest.raises(ReconError, match="cannot be loaded"):
        choose_device("cuda")
    capture, heard = make_capture(), []
    optimize(capture.scene, config("gaussian", iterations=1), images=capture.images, events=heard.append)
    assert any(isinstance(event, StageWarning) and "using the CPU" in event.message for event in heard)
