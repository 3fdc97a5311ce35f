"""The optimisation: photos and points in, splats out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.events import Listener, SplatsMoved, StageWarning, ignore
from recon.io.images import Image, load_image
from recon.priors import Prior
from recon.render.device import choose_device
from recon.render.gpu import counted_later
from recon.render.gsplat_backend import check_gsplat
from recon.scene.nodes import Node, Splats
from recon.scene.scene import Scene
from recon.splats.appearance import evened
from recon.splats.checkpoint import Journal, fingerprint, load_checkpoint, save_checkpoint
from recon.splats.config import SplatsConfig
from recon.splats.density import GradientConfig, make_strategy
from recon.splats.early_stop import EarlyStopConfig, best_iteration
from recon.splats.families import make_family
from recon.splats.guidance.guide import Guide
from recon.splats.init import initial_opacity, initial_seeds, starts_dense
from recon.splats.loop import Loop
from recon.splats.meter import STAGE, Meter
from recon.splats.photos import training_photos
from recon.splats.poses import Cameras
from recon.splats.regularizers import StereoDepth, Twin, TwinConfig, make_regularizers
from recon.splats.regularizers.monocular import monocular_regularizers
from recon.splats.start import given_parameters
from recon.splats.state import TrainState

_INVISIBLE = 1 / 255  # the rasteriser skips fainter contributions


@dataclass(frozen=True)
class SplatsResult:
    """What an optimisation leaves."""

    scene: Scene
    """The scene with the node "splats"."""
    history: list[dict[str, float]]
    """Rows with iteration, loss, psnr (dB, running mean over training photos) and num_primitives."""
    interrupted: bool
    """True when `should_stop` ended the run early."""
    iterations: int
    """Iterations done, those before a resume included."""
    seconds: float
    """Wall time of the loop, the part before a resume included."""
    learnt: Mapping[str, Tensor] = field(default_factory=dict)
    """What priors learnt of the scene, by name; see `TrainState`."""


def optimize(
    scene: Scene,
    config: SplatsConfig,
    *,
    seed: int = 0,
    events: Listener = ignore,
    checkpoint_dir: Path | None = None,
    resume_from: Path | None = None,
    images: Mapping[str, Image] | None = None,
    background: tuple[float, float, float] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    refine_poses: bool = False,
    priors: Sequence[Prior] | None = None,
) -> SplatsResult:
    """Fit splats to the training views of `scene`, starting from its points.

    images: loaded photos by view name; read from the views when None. Test views are never looked at.
    background: colour in [0, 1], sRGB, behind the capture, such as white for NeRF-synthetic; None when it fills its
    photos, whose alpha then only masks (see `LossConfig.alpha`).
    refine_poses: correct the training cameras along with the splats; the scene comes back with the corrected ones.
    priors: objects to use in place of those that `config.priors` names, see `recon.priors`.
    should_stop: asked after every iteration; when it says yes a checkpoint is written and the result returned.
    checkpoint_dir: where checkpoints go.   resume_from: folder of a checkpoint of the same settings, views and seed.
    On a CPU the result depends on the arguments alone, not on the number of threads or on being resumed. A GPU adds up
    in another order each time.
    """
    loop, journal = begin(
        scene, config, seed=seed, events=events, resume_from=resume_from, images=images, background=background,
        refine_poses=refine_poses, priors=priors,
    )  # fmt: skip
    if config.early_stop.runs > 0 and journal.stop is None:
        journal.stop = _best_iteration(scene, config, loop, seed, images, background)
    last = config.iterations if journal.stop is None else journal.stop
    state, key = loop.state, fingerprint(config, scene.split("train"), seed, refine_poses)
    meter = Meter(journal, config, events, state.iteration)
    interrupted = False
    with counted_later() as counts:
        while state.iteration < last and not interrupted:
            due = meter.due(state.iteration + 1)
            meter.record(state, *loop.iterate(due))
            if due:
                counts.settle()
                events(SplatsMoved(STAGE, state.iteration, lambda: finished_splats(state)))
            interrupted = should_stop() and state.iteration < last
            scheduled = config.checkpoint_every > 0 and state.iteration % config.checkpoint_every == 0
            if checkpoint_dir is not None and (interrupted or (scheduled and state.iteration < last)):
                meter.stop_clock()
                save_checkpoint(checkpoint_dir, state, journal, key)
    meter.stop_clock()
    return SplatsResult(
        scene=_with_cameras(scene, state).with_node(Node("splats", finished_splats(state), kind="scene")),
        history=journal.history,
        interrupted=interrupted,
        iterations=state.iteration,
        seconds=journal.seconds,
        learnt=state.learnt,
    )


def begin(
    scene: Scene,
    config: SplatsConfig,
    *,
    seed: int = 0,
    events: Listener = ignore,
    resume_from: Path | None = None,
    images: Mapping[str, Image] | None = None,
    background: tuple[float, float, float] | None = None,
    refine_poses: bool = False,
    priors: Sequence[Prior] | None = None,
) -> tuple[Loop, Journal]:
    """The loop before its first iteration, or where the checkpoint in `resume_from` left it; see `optimize`."""
    device, reason = choose_device(config.device)
    if reason:
        events(StageWarning(STAGE, reason))
    if config.rasterizer == "gsplat":
        _check_gsplat(config, device)
    views = scene.split("train")
    if not views:
        raise ReconError("no training view", found=f"{len(scene.views)} views in all", fix="change views.train")
    unphotographed = [view.name for view in views if view.photo is None]
    if images is None:
        if unphotographed:
            raise ReconError(f"view {unphotographed[0]}: no photo to train on", fix="leave it out of views.train")
        images = {view.name: load_image(view) for view in views}
    family, strategy, regularizers = (
        make_family(config),
        make_strategy(config.density, config.iterations, starts_dense(scene)),
        make_regularizers(config),
    )
    if config.appearance == "gains":
        if scene.points is None:
            raise ReconError("splats.appearance: gains", found="no points to compare photos by", fix="set it to same")
        images = evened(views, images, scene.points)
    coverage = config.loss.covers(background)
    levels = training_photos(views, images, config.resolution.divisors(), config.resolution.min_side, coverage)
    levels = [[photo.to(device) for photo in level] for level in levels]
    loaded = [prior.load(device) for prior in config.priors] if priors is None else priors
    regularizers += monocular_regularizers(loaded, levels[-1], config.guidance)
    poses = [view.world_to_camera for view in views]
    cameras = Cameras.start(poses, scene.extent()) if refine_poses and len(views) > 1 else None
    if resume_from is not None:
        key = fingerprint(config, views, seed, refine_poses)
        state, journal = load_checkpoint(resume_from, family, key, cameras)
        state = state.to(device)
    else:
        if config.init.file is not None:
            params = given_parameters(config.init.file, config.primitive, config.sh_degree, events)
        else:
            # The seeds are drawn from a generator of their own: a random start must not shift the training's numbers.
            seeds = initial_seeds(scene, config.init, torch.Generator().manual_seed(seed), events)
            params = family.initial_parameters(seeds, initial_opacity(scene, config.init), config.sh_degree)
        state, journal = TrainState.create(family, params, scene.extent(), seed).to(device), Journal()
        state.cameras = cameras
        strategy.start(state)

    behind = torch.tensor((0.0, 0.0, 0.0) if background is None else background, device=device)

    def without(name: str) -> Mapping[str, Tensor]:
        """Parameters of splats that never saw the photo `name`."""
        kept = replace(scene, views=tuple(view for view in scene.views if view.name != name))
        short = replace(
            config, iterations=config.guidance.pair_iterations, priors=(), appearance="same", twin=TwinConfig()
        )
        other, _ = begin(kept, short, seed=seed, events=events, images=images, background=background, priors=())
        while other.state.iteration < short.iterations:
            other.iterate(measure=False)
        return other.state.params

    if config.stereo_depth.weight > 0 and scene.points is not None and starts_dense(scene):
        regularizers.append(StereoDepth(config.stereo_depth, scene.points, views))
    if config.twin.wanted:
        # The number of the seed is all that differs; it trains on the same photos in the first one's order.
        alone = replace(config, twin=TwinConfig(), priors=(), appearance="same")
        other, _ = begin(
            scene, alone, seed=seed + 1, images=images, background=background, refine_poses=refine_poses, priors=()
        )
        if state.twin is not None:
            other.state = state.twin
        state.twin = other.state
        regularizers.append(Twin(config.twin, other, views))
    guide = Guide(config, loaded, views, behind, coverage, without) if Guide.wanted(loaded) else None
    return Loop(state, config, strategy, regularizers, levels, background, guide), journal


def _best_iteration(
    scene: Scene, config: SplatsConfig, loop: Loop, seed: int, images: Mapping[str, Image] | None,
    background: tuple[float, float, float] | None,
) -> int:  # fmt: skip
    """See `best_iteration`. loop: of the actual run, whose photos are the ones to judge by."""
    photos = {photo.name: photo for photo in loop.levels[-1]}
    alone = replace(config, early_stop=EarlyStopConfig(), priors=())

    def start(kept: Scene) -> Loop:
        return begin(kept, alone, seed=seed, images=images, background=background, priors=())[0]

    return best_iteration(scene, config.early_stop, config.iterations, start, photos.__getitem__)


def _with_cameras(scene: Scene, state: TrainState) -> Scene:
    """`scene` with its training cameras as they were corrected."""
    if state.cameras is None:
        return scene
    cameras = state.cameras
    moved = {view.name: cameras.pose(index).double() for index, view in enumerate(scene.split("train"))}
    return replace(
        scene,
        views=tuple(
            replace(
                view,
                # Held-out photos were taken with the same lens.
                camera=replace(view.camera, K=cameras.zoomed(view.camera.K)),
                world_to_camera=moved.get(view.name, view.world_to_camera),
            )
            for view in scene.views
        ),
    )


def _check_gsplat(config: SplatsConfig, device: torch.device) -> None:
    """Raise for what gsplat's rasteriser does not draw or measure."""
    check_gsplat(device)
    if config.primitive != "gaussian":
        raise ReconError(
            "splats.rasterizer: gsplat draws Gaussians", found=f"splats.primitive = {config.primitive}",
            fix="set splats.rasterizer: recon",
        )  # fmt: skip
    if isinstance(config.density, GradientConfig) and config.density.absolute:
        raise ReconError(
            "splats.density.absolute needs blend weights, which gsplat does not give",
            fix="set splats.rasterizer: recon",
        )


def finished_splats(state: TrainState) -> Splats:
    """The splats that can be seen at all."""
    seen = state.family.opacities(state.params) >= _INVISIBLE
    if not bool(seen.any()):
        seen = torch.ones_like(seen)
    with torch.no_grad():
        family, params = state.family.rendered(state.params)
    return Splats(family, {name: value.detach()[seen].cpu().clone() for name, value in params.items()})
