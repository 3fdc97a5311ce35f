"""Priors: what networks may add to a few photos.

A new prior is a file here with a config class (a `name`, what it needs, and `load`) and a line in `AnyPrior`. This
package lies below the stages: it knows views and pictures, and nothing of how splats are optimised. What trains a prior
on runs of recon needs the stages, and lies above them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from recon.priors.adapter import PriorConfig
from recon.priors.controlnet_tile import ControlNetTileConfig
from recon.priors.depth import DepthConfig
from recon.priors.difix import DifixConfig
from recon.priors.distillation import DistillationConfig
from recon.priors.image_to_image import ImageToImageConfig
from recon.priors.normals import NormalsConfig
from recon.priors.protocol import (
    AdaptivePrior,
    ClipPrior,
    Depth,
    DepthPrior,
    NormalPrior,
    Pair,
    Prior,
    Reference,
    Repaired,
    RepairPrior,
    RepairRequest,
    ScorePrior,
)
from recon.priors.repair_small import RepairSmallConfig
from recon.priors.video import VideoConfig

AnyPrior = Annotated[
    ImageToImageConfig
    | ControlNetTileConfig
    | DifixConfig
    | VideoConfig
    | DistillationConfig
    | DepthConfig
    | NormalsConfig
    | RepairSmallConfig,
    Field(discriminator="name"),
]  # fmt: skip
"""An entry of `splats.priors`."""

PRIORS: Mapping[str, type[PriorConfig]] = {
    one.__dataclass_fields__["name"].default: one for one in get_args(get_args(AnyPrior)[0])
}
"""Config classes by name."""

__all__ = [
    "PRIORS",
    "AdaptivePrior",
    "AnyPrior",
    "ClipPrior",
    "Depth",
    "DepthPrior",
    "NormalPrior",
    "Pair",
    "Prior",
    "PriorConfig",
    "Reference",
    "RepairPrior",
    "RepairRequest",
    "Repaired",
    "ScorePrior",
]
