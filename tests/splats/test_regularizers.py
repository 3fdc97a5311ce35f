from __future__ import annotations

import pytest
import torch
from splat_states import FAMILY, state_of

from recon.render.rasterize import Render, rasterize
from recon.scene import Points, View
from recon.scene.nodes import Camera
from recon.splats.config import SplatsConfig
from recon.splats.photos import TrainingPhoto
from recon.splats.regularizers import (
    BinocularConfig,
    Drawn,
    DropoutConfig,
    FloatersConfig,
    OpacityDecayConfig,
    StereoDepth,
    StereoDepthConfig,
    make_regularizers,
)
from recon.splats.state import TrainState


def test_all_are_off_unless_asked_for() -> None:
    off = SplatsConfig(dropout=DropoutConfig(rate=0.0), opacity_decay=OpacityDecayConfig(remaining=1.0))
    on = SplatsConfig(dropout=DropoutConfig(rate=0.2), opacity_decay=OpacityDecayConfig(remaining=0.01))
    assert make_regularizers(off) == []
    assert len(make_regularizers(on)) == 2


@pytest.mark.parametrize(("iterations", "every", "share"), [(2500, 1, 0.1), (2500, 10, 0.1), (200, 10, 0.1**0.1)])
def test_opacity_decay_leaves_the_share_it_promises(iterations: int, every: int, share: float) -> None:
    """A run shorter than 2000 iterations decays at the pace of one of 2000."""
    config = SplatsConfig(
        iterations=iterations,
        opacity_decay=OpacityDecayConfig(remaining=0.1, every=every),
        dropout=DropoutConfig(rate=0.0),
    )
    (decay,) = make_regularizers(config)
    state = state_of(30)
    before = FAMILY.opacities(state.params)
    for iteration in range(iterations):
        state.iteration = iteration
        decay.after_step(state, iteration / iterations)
    # Opacities below 1e-6 would be clamped; none of these is. A logit in float loses some 1e-7 at every step.
    assert torch.allclose(FAMILY.opacities(state.params), share * before, rtol=2e-3)


def test_dropout_keeps_the_expected_opacity() -> None:
    config = SplatsConfig(dropout=DropoutConfig(rate=0.4), opacity_decay=OpacityDecayConfig(remaining=1.0))
    (dropout,) = make_regularizers(config)
    state = state_of(20_000)
    state.params["opacity_logits"].data[:] = -1
    faded = FAMILY.opacities(dropout.render_parameters(state, state.params, 0.5))
    dropped = faded < 1e-5
    # Rate 0.4 x progress 0.5 = 0.2; standard deviation sqrt(0.16 / 20,000) = 0.003.
    assert float(dropped.float().mean()) == pytest.approx(0.2, abs=0.015)
    assert torch.allclose(faded[~dropped], FAMILY.opacities(state.params)[0] / 0.8)


def wall(depths: torch.Tensor) -> TrainState:
    """Coloured Gaussians that cover a 64x48 photo like tiles, each at its own depth and as large as it looks there."""
    y, x = torch.meshgrid(torch.arange(0, 48, 2.0), torch.arange(0, 64, 2.0), indexing="ij")
    n = x.numel()
    params = {
        "means": torch.stack([(x.flatten() - 32) / 50, (y.flatten() - 24) / 50, torch.ones(n)], -1) * depths[:, None],
        "quats": torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        "log_scales": (1.4 / 50 * depths).log()[:, None].repeat(1, 3),
        "opacity_logits": torch.full((n,), 4.0),
        "sh_coeffs": torch.randn(n, 1, 3, generator=torch.Generator().manual_seed(0)) * 0.5,
    }
    return TrainState.create(FAMILY, params, 1.0, seed=1)


def binocular_loss(state: TrainState, baseline: float = 0.5) -> torch.Tensor:
    """With the state's own render as the photo."""
    K = torch.tensor([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])

    def draw(world_to_camera: torch.Tensor, depth: bool = False) -> Render:
        return rasterize(state.params, world_to_camera, K, 64, 48, depth=depth)

    with torch.no_grad():
        rgb = draw(torch.eye(4)).color
    photo = TrainingPhoto("a", rgb, None, None, torch.eye(4), K)
    drawn = Drawn(photo, torch.zeros(3), draw(torch.eye(4), True), draw)
    config = BinocularConfig(weight=1.0, start=0.5, baseline=baseline)
    (piece,) = make_regularizers(
        SplatsConfig(binocular=config, dropout=DropoutConfig(rate=0.0), opacity_decay=OpacityDecayConfig(remaining=1.0))
    )
    assert piece.loss(state, drawn, 0.4) is None and not piece.wants_depth(0.4) and piece.wants_depth(0.6)
    loss = piece.loss(state, drawn, 0.6)
    assert loss is not None
    return loss


def test_binocular_consistency_tells_a_surface_from_scattered_primitives() -> None:
    surface = wall(torch.full((768,), 2.0))
    scattered = wall(2.0 * 2 ** (2 * torch.rand(768, generator=torch.Generator().manual_seed(1)) - 1))
    flat, loose = binocular_loss(surface), binocular_loss(scattered)
    # Resampling by a part of a pixel costs a little even where all is right.
    assert float(flat.detach()) < 0.5 * float(loose.detach()), (float(flat.detach()), float(loose.detach()))
    assert float(binocular_loss(surface, 1e-6).detach()) < 1e-3, "a camera that does not move sees the photo"
    loose.backward()
    for name in ("means", "opacity_logits", "sh_coeffs"):
        gradient = scattered.params[name].grad
        assert gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def test_floaters_are_removed_when_they_are_due() -> None:
    state = state_of(300)
    state.params["means"].data[:2] = torch.tensor([[50.0, 0, 0], [0, -80, 0]])
    config = SplatsConfig(
        floaters=FloatersConfig(deviations=3, every=5), dropout=DropoutConfig(rate=0.0),
        opacity_decay=OpacityDecayConfig(remaining=1.0),
    )  # fmt: skip
    (piece,) = make_regularizers(config)
    for state.iteration in range(4):
        piece.after_step(state, 0.5)
    assert len(state) == 300
    state.iteration = 4
    piece.after_step(state, 0.5)
    assert len(state) >= 290 and float(state.centers().norm(dim=-1).max()) < 6


def test_stereo_depth_pulls_a_wall_to_its_points_and_ignores_other_surfaces() -> None:
    state = wall(torch.full((768,), 2.1))
    camera = Camera.pinhole(64, 48, 50.0)
    view = View("a", camera, torch.eye(4, dtype=torch.float64))
    # The wall as stereo saw it, what it hides, a point on another surface, and a large one that only fills a gap.
    front = state.centers() * (2 / 2.1)
    positions = torch.cat([front, 1.5 * front, torch.tensor([[0.01, 0.01, 1.0], [0.3, 0.3, 1.9]])])
    scales = torch.full((len(positions),), 0.02)
    scales[-1] = 0.5
    points = Points(positions, torch.zeros(len(positions), 3), scales=scales)
    piece = StereoDepth(StereoDepthConfig(weight=2.0, until=0.9), points, [view])
    hidden_by_the_one_before = 16  # those in its cell of 4 x 4 px, at one point for 2 x 2 px
    assert len(piece.seen["a"]) in range(769 - hidden_by_the_one_before, 770)

    def draw(world_to_camera: torch.Tensor, depth: bool = False) -> Render:
        return rasterize(state.params, world_to_camera, camera.K.float(), 64, 48, depth=depth)

    photo = TrainingPhoto("a", torch.zeros(48, 64, 3), None, None, torch.eye(4), camera.K.float())
    drawn = Drawn(photo, torch.zeros(3), draw(torch.eye(4), True), draw)
    loss = piece.loss(state, drawn, 0.5)
    assert piece.loss(state, drawn, 0.95) is None and loss is not None
    # All are off by 5 % but the one of another surface, which counts as 10 %.
    assert float(loss.detach()) == pytest.approx(2 * 0.05, rel=0.05)
    loss.backward()
    gradient = state.params["means"].grad
    assert gradient is not None and float((gradient[:, 2] > 0).float().mean()) > 0.95, "nearer is better"
