"""What stage 2 is told: `SplatsConfig`.

Imports nothing that loads the native core, so that a configuration can be checked where the core cannot run.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from recon.config import config
from recon.priors import AnyPrior
from recon.splats.density import GradientConfig, McmcConfig
from recon.splats.early_stop import EarlyStopConfig
from recon.splats.families.convex import ConvexConfig
from recon.splats.families.exponential import ExponentialConfig
from recon.splats.families.gaussian import GaussianConfig
from recon.splats.families.surfel import SurfelConfig
from recon.splats.families.triangle import TriangleConfig
from recon.splats.guidance.config import GuidanceConfig
from recon.splats.init import InitConfig
from recon.splats.poses import RefineConfig
from recon.splats.regularizers import (
    BinocularConfig,
    DropoutConfig,
    FloatersConfig,
    OpacityDecayConfig,
    StereoDepthConfig,
    TwinConfig,
)
from recon.splats.schedule import ResolutionConfig


@config
class LossConfig:
    """0.8 L1 + 0.2 (1 - SSIM) as in 3D Gaussian Splatting, and what transparent parts of photos mean."""

    ssim_weight: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of 1 - SSIM; the rest is L1."""
    alpha: Literal["auto", "coverage", "weight"] = "auto"
    """What the alpha of photos means. `coverage`: where it is 0 there is nothing, so splats must stay away. `weight`:
    the pixel is not looked at (masked, or outside of the lens). `auto`: coverage for captures that come with a
    background colour, such as NeRF-synthetic, else weight."""
    background: Literal["random", "capture"] = "random"
    """What photos whose alpha is coverage are put on: a new colour in every iteration, which forbids filling the void
    with splats of the background's colour, or the capture's own colour."""
    trim: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each photo that does not count: the patches that the splats are furthest from, such as what moved
    (Sabour et al. 2023, RobustNeRF)."""

    def covers(self, background: tuple[float, float, float] | None) -> bool:
        """Whether alpha is coverage in a capture with that colour behind it, None when it fills its photos."""
        return self.alpha == "coverage" or (self.alpha == "auto" and background is not None)


@config
class SplatsConfig:
    """Optimisation of primitives against the training photos."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`, `cuda`, or `auto`: the GPU where there is one that this build can use."""
    rasterizer: Literal["recon", "gsplat"] = "recon"
    """What draws in training. `gsplat`: that library's CUDA kernels, for Gaussians; renders and metrics stay ours."""
    primitive: Literal["gaussian", "exponential", "convex", "triangle", "surfel"] = "gaussian"
    """Family of primitives; its step sizes are in the section of the same name."""
    iterations: Annotated[int, Field(ge=1)] = 2000
    """Optimisation steps, one photo each."""
    sh_degree: Annotated[int, Field(ge=0, le=3)] = 1
    """Highest band of the harmonics that colours depend on the direction with. Few views overfit the higher ones."""
    sh_interval: Annotated[int, Field(ge=0)] = 300
    """Iterations until the next band joins in; 0 uses all bands from the start."""
    sh_freeze: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the iterations after which bands above 0 stay as they are, so that they cannot hide faults of geometry
    from single photos (Han et al. 2024 freeze them after 1000 iterations). 1 never freezes them."""
    refine: RefineConfig = field(default_factory=RefineConfig)
    """Corrections of the cameras, where `poses.refine` asks for them."""
    appearance: Literal["same", "gains"] = "same"
    """Whether photos are alike in brightness and tint: `gains` divides each by one factor a colour, found from points
    that it shares with others. The splats then have the average of all photos."""
    gaussian: GaussianConfig = field(default_factory=GaussianConfig)
    exponential: ExponentialConfig = field(default_factory=ExponentialConfig)
    convex: ConvexConfig = field(default_factory=ConvexConfig)
    triangle: TriangleConfig = field(default_factory=TriangleConfig)
    surfel: SurfelConfig = field(default_factory=SurfelConfig)
    init: InitConfig = field(default_factory=InitConfig)
    density: GradientConfig | McmcConfig = field(default_factory=GradientConfig)
    """How primitives are added and removed: `strategy: gradient` or `strategy: mcmc`."""
    resolution: ResolutionConfig = field(default_factory=ResolutionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    opacity_decay: OpacityDecayConfig = field(default_factory=OpacityDecayConfig)
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
    binocular: BinocularConfig = field(default_factory=BinocularConfig)
    stereo_depth: StereoDepthConfig = field(default_factory=StereoDepthConfig)
    floaters: FloatersConfig = field(default_factory=FloatersConfig)
    twin: TwinConfig = field(default_factory=TwinConfig)
    early_stop: EarlyStopConfig = field(default_factory=EarlyStopConfig)
    priors: tuple[AnyPrior, ...] = ()
    """What networks add (docs/priors.md): a list such as `[{name: difix, checkpoint: /path}]`."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    visible_adam: bool = False
    """Let Adam skip the primitives that the photo of the iteration does not show: quicker, and their moments wait."""
    antialias: bool = False
    """Dim primitives that are thinner than a pixel instead of thickening them (Mip-Splatting, Yu et al. 2024)."""
    checkpoint_every: Annotated[int, Field(ge=0)] = 500
    """Iterations between two checkpoints; 0 writes one only when the run is interrupted."""
    report_every: Annotated[int, Field(ge=1)] = 10
    """Iterations between two progress events and two points of the curves."""
