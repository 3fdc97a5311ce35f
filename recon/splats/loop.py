"""One iteration after another: render a photo, compare, step, add and remove primitives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from recon.priors.surroundings import Drawn as Shown
from recon.render.gsplat_backend import rasterize_gsplat
from recon.render.rasterize import RasterConfig, Render, rasterize
from recon.scene.nodes import View
from recon.splats.adam import adam_update
from recon.splats.config import SplatsConfig
from recon.splats.density import DensityStrategy
from recon.splats.guidance.guide import Guide
from recon.splats.losses import choose_background, photometric_loss, squared_error
from recon.splats.photos import TrainingPhoto
from recon.splats.poses import corrected, stretched
from recon.splats.regularizers import Drawn, Regularizer
from recon.splats.schedule import frozen_bands, sh_degree_at
from recon.splats.state import TrainState


@dataclass(frozen=True)
class HalfDone:
    """What the first half of an iteration left."""

    photo: TrainingPhoto
    background: Tensor
    """[3], behind the splats."""
    render: Render
    loss: Tensor
    """A scalar with gradients."""
    look: Look
    """Draws the same primitives from elsewhere."""
    probe: Tensor | None
    """Collects what happens on the screen, for the density strategy."""
    index: int
    """Of the photo."""
    delta: Tensor | None
    """Correction of its camera, where these are refined."""
    stretch: Tensor | None
    """A zero with the gradient by the logarithm of the focal lengths, where these are refined."""


class Look(Protocol):
    """Draws the splats of an iteration."""

    def __call__(
        self, world_to_camera: Tensor, K: Tensor, size: tuple[int, int], background: Tensor, depth: bool = False,
        probe: Tensor | None = None,
    ) -> Render: ...  # fmt: skip


def _lens(view: View, like: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Pose, K and size of a view, on the device of `like`."""
    camera = view.camera
    return view.world_to_camera.to(like), camera.K.to(like), (camera.width, camera.height)


class Loop:
    """One iteration after another on a state."""

    def __init__(
        self,
        state: TrainState,
        config: SplatsConfig,
        strategy: DensityStrategy,
        regularizers: list[Regularizer],
        levels: list[list[TrainingPhoto]],
        background: tuple[float, float, float] | None,
        guide: Guide | None = None,
    ) -> None:
        self.guide = guide
        self.state, self.config, self.strategy, self.regularizers = state, config, strategy, regularizers
        self.levels, self.background = levels, background
        self.raster = RasterConfig(antialias=config.antialias)
        # Splats from a file have their harmonics already.
        self.sh_interval = config.sh_interval if config.init.file is None else 0
        self.probe = torch.zeros(0, 2)

    def iterate(self, measure: bool) -> tuple[Tensor, float | None]:
        """Train on the next photo. Returns the loss (nobody waited for it) and, if asked, the squared error."""
        state = self.state
        done = self.forward(state.next_photo(len(self.levels[0])))
        done.loss.backward()  # type: ignore[no-untyped-call]
        error = squared_error(done.render.color, done.photo, done.background) if measure else None
        self.finish(done)
        return done.loss.detach(), error

    def forward(self, index: int) -> HalfDone:
        """Render training photo `index` at the size that is due, and compare."""
        state, config = self.state, self.config
        iteration, progress = state.iteration, state.iteration / config.iterations
        photo = self.levels[config.resolution.level_at(iteration, config.iterations)][index]
        delta = stretch = None
        if state.cameras is not None:
            delta = state.cameras.delta[index].clone().requires_grad_()
            pose = corrected(state.cameras.given[index], delta, state.cameras.extent)
            if config.refine.focal:
                stretch = torch.zeros((), requires_grad=True)
                pose = stretched(pose, stretch)
                photo = replace(photo, K=state.cameras.zoomed(photo.K))
            photo = replace(photo, world_to_camera=pose.to(photo.world_to_camera.device))
        background = choose_background(photo, config.loss, self.background, state.generator)

        if self.guide is not None and self.guide.due(state):
            self.guide.refresh(state, self.levels[-1], self._shown)
        params = state.params
        for regularizer in self.regularizers:
            params = regularizer.render_parameters(state, params, progress)
        probe = self._fresh_probe(self.strategy.probe_width(iteration))
        look = self._look(params)

        def draw(world_to_camera: Tensor, probe: Tensor | None = None, depth: bool = False) -> Render:
            return look(world_to_camera, photo.K, (photo.width, photo.height), background, depth, probe)

        depth = any(regularizer.wants_depth(progress) for regularizer in self.regularizers)
        render = draw(photo.world_to_camera, probe, depth)
        loss = photometric_loss(render.color, photo, background, config.loss)
        for regularizer in self.regularizers:
            extra = regularizer.loss(state, Drawn(photo, background, render, draw), progress)
            loss = loss if extra is None else loss + extra
        if self.guide is not None:
            extra = self.guide.loss(state, lambda view, behind: look(*_lens(view, behind), behind))
            loss = loss if extra is None else loss + extra
        return HalfDone(photo, background, render, loss, look, probe, index, delta, stretch)

    @torch.no_grad()
    def error(self, photo: TrainingPhoto) -> float:
        """Mean squared error of what all splats show of a photo, which need not be one of those trained on."""
        background = torch.tensor(self.background or (0.0, 0.0, 0.0), device=photo.rgb.device)
        look = self._look(self.state.params)
        render = look(photo.world_to_camera, photo.K, (photo.width, photo.height), background)
        return squared_error(render.color, photo, background)

    def _look(self, params: Mapping[str, Tensor]) -> Look:
        """Draws `params` in this iteration's detail: camera [4, 4], K, (width, height), background, depth, probe."""
        family, drawn = self.state.family.rendered(params)
        degree = sh_degree_at(self.state.iteration, self.sh_interval, self.config.sh_degree)

        def look(
            world_to_camera: Tensor, K: Tensor, size: tuple[int, int], background: Tensor, depth: bool = False,
            probe: Tensor | None = None,
        ) -> Render:  # fmt: skip
            if self.config.rasterizer == "gsplat":
                return rasterize_gsplat(
                    drawn, world_to_camera, K, *size, sh_degree=degree, background=background, depth=depth,
                    screen_probe=probe, config=self.raster,
                )  # fmt: skip
            return rasterize(
                drawn, world_to_camera, K, *size, family=family, sh_degree=degree, background=background, depth=depth,
                screen_probe=probe, config=self.raster,
            )  # fmt: skip

        return look

    @torch.no_grad()
    def _shown(self, view: View, params: Mapping[str, Tensor]) -> Shown:
        """What splats of some parameters show of `view`, on the guide's background, with the median depth.

        The mean of two surfaces lies on neither: photos warped by it cover 0.66 of a view instead of 0.91 (procedural
        scenes, 3 photos), and are further from the truth there.
        """
        assert self.guide is not None
        behind = self.guide.background
        family, drawn = self.state.family.rendered(params)
        pose, K, size = _lens(view, behind)
        render = rasterize(
            drawn, pose, K, *size, family=family, background=behind, median_depth=True, config=self.raster,
            sh_degree=sh_degree_at(self.state.iteration, self.sh_interval, self.config.sh_degree),
        )  # fmt: skip
        assert render.median_depth is not None
        return Shown(render.color.clamp(0, 1), render.alpha, render.median_depth)

    @torch.no_grad()
    def finish(self, done: HalfDone) -> None:
        """Step, once the loss of `done` has been propagated back to the parameters."""
        state, iteration = self.state, self.state.iteration
        progress = iteration / self.config.iterations
        visible = done.render.radii > 0
        gradient = None if done.probe is None else done.probe.grad
        self.strategy.after_backward(state, iteration, visible, gradient, (done.photo.width, done.photo.height))
        rates = state.family.learning_rates(state.extent, progress)
        state.rates = frozen_bands(rates) if progress >= self.config.sh_freeze else rates
        adam_update(state, visible if self.config.visible_adam else None)
        if state.cameras is not None and done.delta is not None and done.delta.grad is not None:
            by_zoom = None if done.stretch is None else done.stretch.grad
            state.cameras.step(done.index, done.delta.grad, progress, self.config.refine, by_zoom)
        for regularizer in self.regularizers:
            regularizer.after_step(state, progress)
        self.strategy.after_step(state, iteration)
        state.iteration += 1

    def _fresh_probe(self, width: int) -> Tensor | None:
        """Zeros [N, width] that collect what happens on the screen; the same memory while the shape stays."""
        if width == 0:
            return None
        if self.probe.shape != (len(self.state), width):
            self.probe = torch.zeros(len(self.state), width, device=self.state.device, requires_grad=True)
        self.probe.grad = None
        return self.probe
