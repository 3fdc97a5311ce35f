"""Regularisers. A new one is a file here, a field of `SplatsConfig` and two lines in `make_regularizers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.splats.regularizers.binocular import Binocular, BinocularConfig
from recon.splats.regularizers.dropout import Dropout, DropoutConfig
from recon.splats.regularizers.floaters import Floaters, FloatersConfig
from recon.splats.regularizers.opacity_decay import OpacityDecay, OpacityDecayConfig
from recon.splats.regularizers.regularizer import Drawn, Regularizer
from recon.splats.regularizers.solid import SolidTriangles
from recon.splats.regularizers.stereo_depth import StereoDepth, StereoDepthConfig
from recon.splats.regularizers.twin import Twin, TwinConfig

if TYPE_CHECKING:
    from recon.splats.config import SplatsConfig


def make_regularizers(config: SplatsConfig) -> list[Regularizer]:
    """Those that `config` switches on, in the order they are applied."""
    found: list[Regularizer] = []
    if config.dropout.rate > 0:
        found.append(Dropout(config.dropout))
    if config.primitive == "triangle" and config.triangle.solid:
        found.append(SolidTriangles(config.triangle.solid_from))
    elif config.opacity_decay.remaining < 1:  # which pulls the other way than making triangles opaque
        found.append(OpacityDecay(config.opacity_decay, config.iterations))
    if config.binocular.weight > 0:
        found.append(Binocular(config.binocular))
    if config.floaters.deviations > 0:
        found.append(Floaters(config.floaters))
    return found


__all__ = [
    "BinocularConfig", "Drawn", "DropoutConfig", "FloatersConfig", "OpacityDecayConfig", "Regularizer", "StereoDepth",
    "StereoDepthConfig", "Twin", "TwinConfig", "make_regularizers",
]  # fmt: skip
