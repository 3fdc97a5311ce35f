"""How priors take part in the optimisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recon.config import config

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


@config
class GuidanceConfig:
    """What `splats.priors` do: where they look, when, and how much they count.

    Repaired views are trained on beside the photos, never in their place, and count only where the scene is unsure: by
    opacity, by coverage and agreement of the photos, by the prior's own confidence, by whether it left alone what is
    known, and by whether repaired views agree with each other.
    """

    start: Share = 0.35
    """Share of the iterations after which novel views are looked at."""
    every: Annotated[int, Field(ge=1)] = 200
    """Iterations until they are chosen, rendered and repaired anew."""
    views: Annotated[int, Field(ge=1)] = 8
    """Novel views at a time."""
    max_side: Annotated[int, Field(ge=32)] = 640
    """Their longer side, px; photos that are smaller set it."""
    references: Annotated[int, Field(ge=0)] = 4
    """Nearest photos that a prior gets along with a render."""
    min_known: Share = 0.03
    """A novel view is only looked at when the scene is sure, by more than a half, of at least this share of it: from
    nothing, everything can be made up, and nothing shows whether a prior respects what is known."""
    weight: Weight = 2.0
    """Weight of a repaired pixel that is trusted fully, in the loss of an iteration; a photo's is 1."""
    interval: Annotated[int, Field(ge=1)] = 1
    """Iterations between two that train on a novel view, each beside a photo."""
    unseen: Share = 0.7
    """Trust in repaired pixels that no other novel view shows."""
    pairs: Literal["masked", "leave-one-out"] = "masked"
    """What priors that learn the scene learn from. `masked`: renders at the photos with random halves of the splats
    thinned out. `leave-one-out`: renders of splats that were trained without the photo, one more run for each."""
    pairs_per_photo: Annotated[int, Field(ge=1)] = 4
    """Masked pairs of each photo."""
    pair_iterations: Annotated[int, Field(ge=1)] = 500
    """Iterations of a run without one photo."""
    score_weight: Weight = 0.1
    """Weight of the gradients of priors that score renders (distillation)."""
    depth_weight: Weight = 0.05
    """Weight of 1 - correlation with the depths of depth priors in the photos."""
    normal_weight: Weight = 0.02
    """Weight of 1 - cosine with the normals of normal priors in the photos."""
