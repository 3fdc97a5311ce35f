"""Pairs of damaged renders and photos of this very scene, for priors that learn it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from recon.priors import Pair
from recon.priors.surroundings import Drawn, Surroundings
from recon.scene.nodes import View
from recon.splats.guidance.config import GuidanceConfig
from recon.splats.state import TrainState

Known = tuple[Tensor, Tensor | None, View]
"""A photo over the guide's background, weights of its pixels, and its camera, as `Surroundings` takes them."""
DrawParams = Callable[[View, Mapping[str, Tensor]], Drawn]
"""What splats of given parameters show."""
WithoutPhoto = Callable[[str], Mapping[str, Tensor]]
"""Parameters of splats that were trained without the photo of that name."""


def self_generated(
    state: TrainState, known: Sequence[Known], draw: DrawParams, without: WithoutPhoto, config: GuidanceConfig,
    empty: bool,
) -> list[Pair]:  # fmt: skip
    """Pairs at the cameras of all photos; a photo is never among the references of its own pair.

    `masked`: a random half of the splats is thinned out, other halves each time (WaveletGaussian). `leave-one-out`:
    splats that never saw the photo (GaussianObject).   empty: see `Surroundings`.
    """
    pairs = []
    for i, (photo, weight, camera) in enumerate(known):
        others = [one for j, one in enumerate(known) if j != i]
        if config.pairs == "leave-one-out":
            variants: Iterator[Mapping[str, Tensor]] = iter([without(camera.name)])
        else:
            variants = _masked(state, config.pairs_per_photo, seed=i)
        for params in variants:

            def damaged(view: View, params: Mapping[str, Tensor] = params) -> Drawn:
                return draw(view, params)

            request = Surroundings(others, damaged, config.references, empty).request(camera)
            # What does not count in the photo is left as it is rendered.
            truth = photo if weight is None else request.render + weight[..., None] * (photo - request.render)
            pairs.append(Pair(request, truth))
    return pairs


def _masked(state: TrainState, count: int, seed: int) -> Iterator[Mapping[str, Tensor]]:
    """The splats, each time with 70 % of those on one side of a random plane through their middle left out."""
    generator = torch.Generator().manual_seed(seed)
    centers = state.centers()
    middle = centers.median(0).values
    for _ in range(count):
        normal = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=-1).to(centers)
        side = ((centers - middle) @ normal) > 0
        kept = torch.rand(len(centers), generator=generator).to(centers) > 0.7
        yield state.family.faded(state.params, (~side | kept).float())
