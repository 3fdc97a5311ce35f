"""Dense points for the splats to start at. A new source is a file here and a line in `make_source`."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from recon.config import config
from recon.poses.dense.fusion import FusionConfig
from recon.poses.dense.hull import HullConfig, HullSource, outlines
from recon.poses.dense.monocular import FillConfig, MonocularSource
from recon.poses.dense.source import DenseInput, DenseSource
from recon.poses.dense.stereo import StereoSource
from recon.priors.depth import DepthConfig
from recon.stereo.depth_maps import StereoConfig

_LEAST_OUTLINES = 4  # with three the hull is so large that splats inside of it end worse than at sparse points


@config
class DenseConfig:
    """Points all over the surfaces, where sparse ones leave gaps: what few photos gain most from."""

    method: Literal["auto", "stereo", "hull", "none"] = "auto"
    """`stereo`: multi-view stereo over the training photos. `hull`: what the outlines of photos that are cut out leave
    room for. `auto`: `hull` for four and more such photos when they share few points, else `stereo`. `none`: start at
    the sparse points."""
    few_points: Annotated[int, Field(ge=0)] = 50
    """With fewer sparse points a photo than this, `auto` trusts outlines more than matches."""
    depth: DepthConfig | None = None
    """A network that sees depth in single photos, such as `{name: depth, checkpoint: /path}` (docs/priors.md). It fills
    the gaps that the method leaves; with `method: none` all its points are taken."""
    fill: FillConfig = field(default_factory=FillConfig)
    """What of the network's depths becomes points."""
    min_points: Annotated[int, Field(ge=1)] = 500
    """With fewer dense points than this the run goes on with the sparse ones, and says so."""
    outliers: Annotated[float, Field(gt=0)] | None = None
    """Leave out points that lie further from their 20 nearest than the mean by this many standard deviations, such as
    2 (Open3D, extra `open3d`); null for none."""
    stereo: StereoConfig = field(default_factory=StereoConfig)
    hull: HullConfig = field(default_factory=HullConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)


def choose_dense(config: DenseConfig, given: DenseInput) -> tuple[str, str]:
    """The method that `auto` stands for, or `config.method` itself, and why."""
    if config.method != "auto":
        return config.method, f"poses.dense.method is {config.method}"
    if outlines(given) is None:
        return "stereo", "the photos are not cut out"
    if len(given.views) < _LEAST_OUTLINES:
        return "stereo", f"{len(given.views)} outlines leave too much room"
    points = 0 if given.points is None else len(given.points.positions)
    few = points < config.few_points * len(given.views)
    return ("hull" if few else "stereo"), f"the photos are cut out and share {points:,} points"


def make_source(config: DenseConfig, method: str) -> DenseSource | None:
    """The source of that name, with what `config.depth` adds to it; None for none."""
    base: DenseSource | None = None
    if method != "none":
        base = HullSource(config.hull) if method == "hull" else StereoSource(config.stereo, config.fusion)
    if config.depth is None:
        return base
    # Loads the native core, which a configuration can be checked without.
    from recon.render.device import choose_device

    return MonocularSource(config.depth.load(choose_device("auto")[0]), config.fill, base)


__all__ = ["DenseConfig", "DenseInput", "DenseSource", "choose_dense", "make_source"]
