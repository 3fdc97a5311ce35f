"""Settings of cameras from outlines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recon.config import config


@config
class SilhouetteConfig:
    """Photos of a masked object, in the order in which they were taken all the way around it, with little overlap."""

    elevations_deg: tuple[Annotated[float, Field(gt=-90, lt=90)], ...] = (10.0, 25.0, 40.0)
    """How far above the object cameras may be to begin with."""
    focals: tuple[Annotated[float, Field(gt=0)], ...] = (0.9, 0.7, 1.2)
    """Focal lengths to try, in longer sides, where the photos' headers do not give one; the first one first."""
    coarse_steps: Annotated[int, Field(ge=1)] = 60
    """Steps of each hypothesis."""
    fine_steps: Annotated[int, Field(ge=0)] = 200
    """Further steps of the best one."""
    max_incoherence: Annotated[float, Field(gt=0)] = 0.0006
    """How far rays through an outline may stay outside of the others on average, longer sides: masks are that exact."""
    min_rival: Annotated[float, Field(gt=1)] = 2.5
    """The best hypothesis of the other direction around the object must be worse by this factor."""
    min_coverage: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of every outline that the hull must fill."""
    min_agreement: Annotated[float, Field(ge=-1, lt=1)] = 0.3
    """Share of the colours' variance on the hull that is not between photos of one point."""
