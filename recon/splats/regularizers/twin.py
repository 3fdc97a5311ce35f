"""A second model of the same scene, trained beside the first: where the two differ, neither is sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from scipy.spatial import cKDTree
from torch import Tensor

from recon.config import config
from recon.geometry.neighbors import nearest_centers
from recon.scene.camera_path import between
from recon.scene.nodes import View
from recon.splats.regularizers.regularizer import Drawn, Regularizer
from recon.splats.state import TrainState

if TYPE_CHECKING:
    from recon.splats.loop import HalfDone, Loop  # which loads the native core

_STEPS = 10  # cameras on the way from one photo to the next


@config
class TwinConfig:
    """Train two models that differ in their random numbers and let each judge the other; the first one is the result.
    Zhang et al. 2024 (CoR-GS). More than twice the time."""

    prune_every: Annotated[int, Field(ge=0)] = 0
    """Iterations between two removals of primitives that have no counterpart in the other model (co-pruning); 0 for
    none."""
    apart: Annotated[float, Field(gt=0)] = 0.01
    """A counterpart is nearer than this, times the distance to the nearest camera."""
    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the difference between what both show of places between the photos (pseudo views); 0 for none."""
    start: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the iterations after which pseudo views are looked at."""

    @property
    def wanted(self) -> bool:
        """Whether there is a second model at all."""
        return self.prune_every > 0 or self.weight > 0


class Twin(Regularizer):
    """Takes the other loop along: its loss joins this one's, and it steps when this one does."""

    def __init__(self, config: TwinConfig, other: Loop, views: Sequence[View]) -> None:
        self.config, self.other = config, other
        self.index = {view.name: index for index, view in enumerate(views)}
        self.centers = torch.stack([view.center for view in views])
        self.places = [_toward_nearest(view, views) for view in views]
        self.half: HalfDone | None = None

    def loss(self, state: TrainState, drawn: Drawn, progress: float) -> Tensor | None:
        """The other's own loss on the same photo, and from a place between photos what each shows against the other."""
        from recon.render.image_loss import l1_ssim  # loads the native core, which a configuration does without

        index = self.index[drawn.photo.name]
        self.half = self.other.forward(index)
        total, places = self.half.loss, self.places[index]
        if self.config.weight > 0 and progress >= self.config.start and len(places) > 0:
            pose = places[int(torch.randint(len(places), (), generator=state.generator))].to(drawn.photo.K)
            size = drawn.photo.width, drawn.photo.height
            mine = drawn.again(pose).color
            its = self.half.look(pose, drawn.photo.K, size, drawn.background).color
            total = total + self.config.weight * (l1_ssim(mine, its.detach()) + l1_ssim(its, mine.detach()))
        return total

    def after_step(self, state: TrainState, progress: float) -> None:
        assert self.half is not None
        self.other.finish(self.half)
        self.half = None
        if self.config.prune_every and (state.iteration + 1) % self.config.prune_every == 0:
            mine, its = state.centers().cpu(), self.other.state.centers().cpu()
            for one, own, others in ((state, mine, its), (self.other.state, its, mine)):
                keep = self._matched(own, others)
                if bool(keep.any()):
                    one.keep(keep.to(one.device))

    def _matched(self, own: Tensor, others: Tensor) -> Tensor:
        """[N] bool: those of `own` [N, 3] that have one of `others` near."""
        distances, _ = cKDTree(others.numpy()).query(own.numpy(), workers=torch.get_num_threads())
        reach, _ = nearest_centers(own, self.centers.to(own))
        return torch.from_numpy(distances) <= self.config.apart * reach


def _toward_nearest(view: View, views: Sequence[View]) -> Tensor:
    """[P, 4, 4] poses on the way from `view` to the nearest other, neither included; none when it is alone."""
    others = [other for other in views if other is not view]
    if not others:
        return torch.zeros(0, 4, 4)
    nearest = min(others, key=lambda other: float((other.center - view.center).norm()))
    path = between([view, nearest], _STEPS + 2)[1:-1]
    return torch.stack([one.world_to_camera for one in path])
