"""Everything that changes while splats are optimised; what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from recon.splats.families import Family
from recon.splats.guidance.views import NovelViews
from recon.splats.poses import Cameras


@dataclass
class TrainState:
    """Parameters, Adam's moments, statistics of the density strategy and the random numbers to come.

    Parameters, moments and statistics always have the same number of rows in the same order.
    """

    family: Family
    params: dict[str, Tensor]
    """Leaf tensors that require gradients, float32, N rows."""
    exp_avg: dict[str, Tensor]
    """Adam's first moments, shaped like `params`."""
    exp_avg_sq: dict[str, Tensor]
    """Adam's second moments, shaped like `params`."""
    generator: torch.Generator
    """Source of every random choice."""
    extent: float
    """The scene's, scene units; see `Scene.extent`."""
    rates: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    """Adam's step sizes of the current iteration, by parameter; set by the loop."""
    iteration: int = 0
    """Iterations finished."""
    stats: dict[str, Tensor] = field(default_factory=dict)
    """Statistics of the density strategy, N rows."""
    cameras: Cameras | None = None
    """Corrections of the training cameras, where these are refined."""
    order: list[int] = field(default_factory=list)
    """Photos still to come in this round, the next one last."""
    novel: NovelViews | None = None
    """Views that priors look at, once there are any."""
    learnt: dict[str, Tensor] = field(default_factory=dict)
    """What priors learnt of this scene, on the CPU."""
    twin: TrainState | None = None
    """The second model, where there is one; see `TwinConfig`."""

    @staticmethod
    def create(family: Family, params: Mapping[str, Tensor], extent: float, seed: int) -> TrainState:
        """State before the first iteration."""
        leaves = {name: value.float().contiguous().requires_grad_() for name, value in params.items()}
        return TrainState(
            family=family,
            params=leaves,
            exp_avg={name: torch.zeros_like(value, requires_grad=False) for name, value in leaves.items()},
            exp_avg_sq={name: torch.zeros_like(value, requires_grad=False) for name, value in leaves.items()},
            generator=torch.Generator().manual_seed(seed),
            extent=extent,
        )

    def __len__(self) -> int:
        return len(next(iter(self.params.values())))

    @property
    def device(self) -> torch.device:
        """Where all tensors but the generator are."""
        return next(iter(self.params.values())).device

    def centers(self) -> Tensor:
        """[N, 3], where the primitives are: of polygons the mean of their corners."""
        return self.params[self.family.position_parameter].detach().reshape(len(self), -1, 3).mean(1)

    def to(self, device: torch.device) -> TrainState:
        """The state on `device`. Random numbers are still drawn on the CPU, so that devices draw the same."""
        if device == self.device:
            return self

        def moved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.detach().to(device) for name, value in tensors.items()}

        return replace(
            self,
            params={name: value.requires_grad_() for name, value in moved(self.params).items()},
            exp_avg=moved(self.exp_avg),
            exp_avg_sq=moved(self.exp_avg_sq),
            stats=moved(self.stats),
            novel=None if self.novel is None else self.novel.to(device),
            twin=None if self.twin is None else self.twin.to(device),
        )

    def next_photo(self, count: int) -> int:
        """Index of the photo to train on: every photo once in random order, then anew."""
        if not self.order:
            self.order = torch.randperm(count, generator=self.generator).tolist()
        return self.order.pop()

    def keep(self, mask: Tensor) -> None:
        """Remove the rows where `mask` [N] is False."""
        for name, value in self.params.items():
            self.params[name] = value.detach()[mask].requires_grad_()
            self.exp_avg[name] = self.exp_avg[name][mask]
            self.exp_avg_sq[name] = self.exp_avg_sq[name][mask]
        self.stats = {name: value[mask] for name, value in self.stats.items()}

    def append(self, rows: Mapping[str, Tensor], stats: Mapping[str, Tensor] | None = None) -> None:
        """Add primitives with zero moments; their statistics are zero unless given."""
        for name, value in self.params.items():
            added = rows[name].to(value.dtype)
            self.params[name] = torch.cat([value.detach(), added]).requires_grad_()
            for moments in (self.exp_avg, self.exp_avg_sq):
                moments[name] = torch.cat([moments[name], torch.zeros_like(added)])
        count = len(next(iter(rows.values())))
        for name, value in self.stats.items():
            added = stats[name] if stats else value.new_zeros(count, *value.shape[1:])
            self.stats[name] = torch.cat([value, added])

    def write(self, index: Tensor, rows: Mapping[str, Tensor]) -> None:
        """Overwrite primitives at `index` [M] (no repeats) and forget their moments."""
        for name, value in rows.items():
            self.params[name].data[index] = value
            self.exp_avg[name][index] = 0
            self.exp_avg_sq[name][index] = 0

    def forget_moments(self, name: str) -> None:
        """Zero the moments of one parameter, as after all its values were set."""
        self.exp_avg[name].zero_()
        self.exp_avg_sq[name].zero_()
