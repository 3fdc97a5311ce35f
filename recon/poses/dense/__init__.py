"""Dense points for the splats to start at. A new source is a file here and a line in `make_source`."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from recon.config import config
from recon.poses.dense.depth_maps import StereoConfig
from recon.poses.dense.fusion import FusionConfig
from recon.poses.dense.source import DenseInput, DenseSource
from recon.poses.dense.stereo import StereoSource


@config
class DenseConfig:
    """Points all over the surfaces, where sparse ones leave gaps: what few photos gain most from."""

    method: Literal["stereo", "none"] = "stereo"
    """`stereo`: multi-view stereo over the training photos. `none`: start at the sparse points."""
    min_points: Annotated[int, Field(ge=1)] = 500
    """With fewer dense points than this the run goes on with the sparse ones, and says so."""
    stereo: StereoConfig = field(default_factory=StereoConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)


def make_source(config: DenseConfig) -> DenseSource | None:
    """The source that `config` names, None for none."""
    return None if config.method == "none" else StereoSource(config.stereo, config.fusion)


__all__ = ["DenseConfig", "DenseInput", "DenseSource", "make_source"]
