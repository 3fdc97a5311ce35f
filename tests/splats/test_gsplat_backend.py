"""gsplat's rasteriser in the loop: with a stand-in of its signature on a CPU, with itself on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_splats import random_family
from test_families import config
from tiny_capture import make_capture
from torch import Tensor

from recon.errors import ReconError
from recon.geometry import rigid
from recon.render import gsplat_backend
from recon.render.rasterize import RasterConfig, rasterize
from recon.splats import optimize as optimization
from recon.splats.config import SplatsConfig
from recon.splats.optimize import optimize

gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed: pip install -e '.[dev]'")


def stand_in(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, near_plane: float, far_plane: float, eps2d: float, sh_degree: int, packed: bool,
    backgrounds: Tensor, render_mode: str, rasterize_mode: str,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """gsplat.rasterization 1.5.3 by our own rasteriser: activated parameters, one camera, means2d with a gradient."""
    assert not packed and viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3) and backgrounds.shape == (1, 3)
    params = {"means": means, "quats": quats, "log_scales": scales.log(), "opacity_logits": opacities.logit(),
              "sh_coeffs": colors}  # fmt: skip
    means2d = torch.zeros(1, len(means), 2, requires_grad=True)
    render = rasterize(
        params, viewmats[0], Ks[0], width, height, sh_degree=sh_degree, background=backgrounds[0],
        depth=render_mode == "RGB+ED", screen_probe=means2d[0],
        config=RasterConfig(near_plane, far_plane, eps2d, rasterize_mode == "antialiased"),
    )  # fmt: skip
    image = render.color if render.depth is None else torch.cat([render.color, render.depth[..., None]], dim=-1)
    radii = render.radii[:, None].expand(-1, 2)
    return image[None], render.alpha[None, ..., None], {"means2d": means2d, "radii": radii[None]}


def test_training_with_it_is_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parameters, camera, background, depth, probe and radii reach the loop: the same splats come out."""
    capture = make_capture()
    calls = 0

    def counted(**given: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        nonlocal calls
        calls += 1
        return stand_in(**given)

    monkeypatch.setattr(gsplat, "rasterization", counted)
    monkeypatch.setattr(optimization, "check_gsplat", lambda device: None)
    plain = config("gaussian", "gradient")
    settings = SplatsConfig(**{**vars(plain), "rasterizer": "gsplat"})
    found = optimize(capture.scene, settings, images=capture.images).scene.splats
    wanted = optimize(capture.scene, plain, images=capture.images).scene.splats
    assert calls >= settings.iterations and found is not None and wanted is not None
    assert len(found) == len(wanted)
    for name, value in wanted.params.items():
        # Logarithms of exponentials round differently, and Adam makes steps of a size of their own out of that.
        torch.testing.assert_close(found[name], value, atol=0.02, rtol=0.02)


def test_where_it_cannot_draw() -> None:
    with pytest.raises(ReconError, match=r"draws on CUDA devices only: found cpu; set splats\.rasterizer: recon"):
        gsplat_backend.check_gsplat(torch.device("cpu"))
    capture = make_capture()
    with pytest.raises(ReconError, match="draws on CUDA devices only"):
        optimize(capture.scene, SplatsConfig(rasterizer="gsplat", device="cpu"), images=capture.images)


def test_what_it_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimization, "check_gsplat", lambda device: None)
    capture = make_capture()
    with pytest.raises(ReconError, match=r"gsplat draws Gaussians: found splats\.primitive = convex"):
        optimize(capture.scene, SplatsConfig(rasterizer="gsplat", primitive="convex"), images=capture.images)


@pytest.mark.cuda
def test_the_same_picture_and_gradients_as_ours() -> None:
    splats = random_family("gaussian", 200, 2)
    pose = rigid.look_at(*(torch.tensor(v, dtype=torch.float64) for v in ([0.0, 1, -6], [0, 0, 0], [0.1, -1, 0])))
    K = torch.tensor([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]], device="cuda")
    results = []
    for draw in (rasterize, gsplat_backend.rasterize_gsplat):
        params = {name: value.cuda().requires_grad_() for name, value in splats.params.items()}
        probe = torch.zeros(200, 2, device="cuda", requires_grad=True)
        render = draw(params, pose.float().cuda(), K, 64, 48, sh_degree=2, background=torch.zeros(3, device="cuda"),
                      depth=True, screen_probe=probe, config=RasterConfig())  # fmt: skip
        (render.color.square().mean() + 0.01 * render.depth.mean()).backward()
        results.append((render, params, probe.grad))
    (ours, own, a), (theirs, other, b) = results
    assert (ours.color - theirs.color).abs().mean() < 1e-4
    for name in own:
        torch.testing.assert_close(own[name].grad, other[name].grad, atol=1e-4, rtol=0.05)
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0.05)
