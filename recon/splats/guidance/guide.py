"""The loop with priors: look where the scene is unsure, have that repaired, learn it as far as it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recon.priors import AdaptivePrior, ClipPrior, Prior, RepairPrior, ScorePrior
from recon.priors.surroundings import Surroundings
from recon.priors.trust import change, repaired_views, say
from recon.priors.warp import Seen, agreement
from recon.render.image_loss import l1_ssim
from recon.render.rasterize import Render
from recon.scene.nodes import View
from recon.splats.config import SplatsConfig
from recon.splats.guidance.pairs import DrawParams, Known, WithoutPhoto, self_generated
from recon.splats.guidance.places import choose
from recon.splats.guidance.views import NovelViews
from recon.splats.photos import TrainingPhoto
from recon.splats.state import TrainState

Look = Callable[[View, Tensor], Render]
"""The splats of this iteration, differentiable, from a view and on a background [3]."""


class Guide:
    """Makes novel views from time to time and adds what they say to the loss. Its state is `TrainState.novel`."""

    def __init__(
        self, config: SplatsConfig, priors: Sequence[Prior], cameras: Sequence[View], background: Tensor, empty: bool,
        without: WithoutPhoto,
    ) -> None:  # fmt: skip
        """cameras: the training views.   background: [3], behind novel views.   empty: see `Surroundings`.
        without: for priors that learn the scene, see `self_generated`."""
        self.config, self.iterations, self.cameras = config.guidance, config.iterations, list(cameras)
        self.ssim_weight, self.background, self.empty = config.loss.ssim_weight, background, empty
        self.repairers = [prior for prior in priors if isinstance(prior, (RepairPrior, ClipPrior))]
        self.scorers = [prior for prior in priors if isinstance(prior, ScorePrior)]
        self.without, self.taught = without, False
        self.first = int(config.guidance.start * config.iterations)

    @staticmethod
    def wanted(priors: Sequence[Prior]) -> bool:
        """Whether any of `priors` looks at novel views."""
        return any(isinstance(prior, (RepairPrior, ClipPrior, ScorePrior)) for prior in priors)

    def due(self, state: TrainState) -> bool:
        """Whether novel views are to be made before this iteration."""
        since = state.iteration - self.first
        return since >= 0 and (state.novel is None or since % self.config.every == 0)

    def refresh(self, state: TrainState, photos: Sequence[TrainingPhoto], draw: DrawParams) -> None:
        """Choose, render and repair novel views; they replace those of `state`. draw: on this guide's background."""
        poses = [photo.world_to_camera for photo in photos]
        if state.cameras is not None:
            poses = [state.cameras.pose(index) for index in range(len(photos))]
        cameras = [
            replace(view, world_to_camera=pose.double().cpu())
            for view, pose in zip(self.cameras, poses, strict=True)
        ]  # fmt: skip
        known = [
            (photo.target(self.background).clamp(0, 1), photo.weight, camera)
            for photo, camera in zip(photos, cameras, strict=True)
        ]
        self._teach(state, known, draw)
        around = Surroundings(
            known, lambda view: draw(view, state.params), self.config.references, self.empty
        )  # fmt: skip
        # Other cameras each time, from the iteration alone: random numbers of the training stay what they were.
        phase = (0.618034 * ((state.iteration - self.first) // self.config.every)) % 1.0
        clip = any(isinstance(prior, ClipPrior) for prior in self.repairers)
        places = choose(cameras, around, self.config.views, _sized, phase, self.config.min_known, clip)
        if not places:
            state.novel = NovelViews.none()
            return
        requests = [around.request(_sized(place.camera, self.config.max_side)) for place in places]
        images = [request.render for request in requests]
        weights = [torch.zeros_like(request.alpha) for request in requests]
        if self.repairers:
            repaired = repaired_views(self.repairers, requests)
            images = [one.image.to(request.render) for one, request in zip(repaired, requests, strict=True)]
            seen = [Seen(image, r.depth, r.camera) for image, r in zip(images, requests, strict=True)]
            trust = agreement(seen, self.config.unseen)
            weights = [
                place.distance * say(request, one) * change(request, one) * agree
                for place, request, one, agree in zip(places, requests, repaired, trust, strict=True)
            ]
        state.novel = NovelViews(
            torch.stack(images),
            torch.stack(weights),
            torch.stack([place.distance * (1 - r.confidence) for place, r in zip(places, requests, strict=True)]),
            torch.stack([request.camera.world_to_camera for request in requests]),
            torch.stack([request.camera.camera.K for request in requests]),
        )

    def _teach(self, state: TrainState, known: Sequence[Known], draw: DrawParams) -> None:
        """Let priors that learn do so once; what they learnt is part of the state."""
        learners = {
            f"{number}/": prior for number, prior in enumerate(self.repairers)
            if isinstance(prior, AdaptivePrior) and prior.learns
        }  # fmt: skip
        if not learners or self.taught:
            return
        self.taught = True
        if state.learnt:
            for key, prior in learners.items():
                own = {name.removeprefix(key): value for name, value in state.learnt.items() if name.startswith(key)}
                prior.restore(own)
            return
        pairs = self_generated(state, known, draw, self.without, self.config, self.empty)
        for key, prior in learners.items():
            state.learnt |= {key + name: value for name, value in prior.adapt(pairs).items()}

    def loss(self, state: TrainState, look: Look) -> Tensor | None:
        """What a novel view adds to the loss of this iteration; None for nothing."""
        novel, since = state.novel, state.iteration - self.first
        if novel is None or len(novel) == 0 or since < 0 or since % self.config.interval:
            return None
        index = (since // self.config.interval) % len(novel)
        share = novel.weights[index].mean()
        repaired = self.config.weight > 0 and bool(share > 1e-4)
        scored = self.config.score_weight > 0 and self.scorers
        if not repaired and not scored:
            return None
        camera = novel.camera(index)
        render = look(camera, self.background)
        total = render.color.new_zeros(())
        if repaired:
            # The mean over weighted pixels times their share: a view that is trusted little counts little.
            found = l1_ssim(render.color, novel.images[index], novel.weights[index], self.ssim_weight)
            total = total + self.config.weight * share * found
        if scored:
            step = since / max(1, self.iterations - self.first)
            shown, alpha = render.color.detach().clamp(0, 1), render.alpha.detach()
            for prior in self.scorers:
                gradient = prior.gradient(shown, alpha, camera, step) * novel.unsure[index][..., None]
                total = total + self.config.score_weight * (render.color * gradient).mean()
        return total


def _sized(view: View, side: int) -> View:
    """`view` with its longer side at most `side`, px."""
    camera = view.camera
    shrink = min(1.0, side / max(camera.width, camera.height))
    return replace(view, camera=camera.resized(round(camera.width * shrink), round(camera.height * shrink)))
