"""Settings of structure from motion."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field

from recon.config import config
from recon.poses.features import FeatureConfig
from recon.poses.matching import MatchConfig


@config
class PolishConfig:
    """The last bundle adjustment, in which what is known of lenses beforehand has a weight."""

    iterations: Annotated[int, Field(ge=0)] = 30
    """Steps at most; 0 leaves it out."""
    center_spread: Annotated[float, Field(gt=0)] = 0.01
    """How far the principal point may plausibly be from the middle, as a standard deviation in longer sides."""
    distortion_spread: Annotated[float, Field(gt=0)] = 0.1
    """The same for the two terms of radial distortion, where photos and points are many enough for any."""


@config
class SfmConfig:
    """Cameras from photos alone, for few photos: many quick attempts, and the one that the evidence speaks for."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    match: MatchConfig = field(default_factory=lambda: MatchConfig(max_ratio=0.8, max_angle=1.0))
    """Matches over whole photos, before anything is known of the cameras."""
    many_photos: Annotated[int, Field(ge=2)] = 8
    """With more photos than this half the keypoints of each are enough."""
    attempt_matches: Annotated[int, Field(ge=50)] = 800
    """Matches of a pair, the most alike, that an attempt works with; the final adjustment takes all."""
    focals: tuple[Annotated[float, Field(gt=0)], ...] = (0.72, 0.85, 0.6, 1.0, 1.3, 0.5, 1.8, 2.5)
    """Focal lengths to try, in longer sides of the photo, where a photo's header does not give one."""
    attempts: Annotated[int, Field(ge=1)] = 16
    """Largest number of attempts; they end early when several agree on all photos."""
    enough: Annotated[int, Field(ge=1)] = 4
    """Attempts that agree on all photos are enough."""
    min_agreeing: Annotated[int, Field(ge=1)] = 2
    """A result that fewer attempts agree on is not returned."""
    min_support: Annotated[int, Field(ge=1)] = 40
    """Least number of matches that must fit a result."""
    min_angle_deg: Annotated[float, Field(ge=0)] = 1.5
    """Least median angle between the rays to a point: below it depths and the focal length are guesses."""
    min_parallax_px: Annotated[float, Field(ge=0)] = 3.0
    """Least shift of matches against each other that no turning of the camera explains, in the pair where it is
    largest. Without it a model is made of noise."""
    max_error_px: Annotated[float, Field(gt=0)] = 2.0
    """A match fits when it lies within this of its epipolar line, px of the photo that features were taken from."""
    focal_spread: Annotated[float, Field(gt=0)] = 0.4
    """How far a focal length may plausibly be from `usual_focal`, as a standard deviation of its logarithm."""
    usual_focal: Annotated[float, Field(gt=0)] = 0.9
    """Focal length of most photos in longer sides: phones 0.7, cameras at 35 mm 1.0, at 50 mm 1.4."""
    exif_spread: Annotated[float, Field(gt=0)] = 0.1
    """The same for a focal length that a photo's header gives."""
    polish: PolishConfig = field(default_factory=PolishConfig)
