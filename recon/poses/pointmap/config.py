"""Settings of cameras from pointmaps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from recon.config import config


@config
class PointmapConfig:
    """A network that the user has, asked where the pixels of the photos lie in space."""

    model: Literal["vggt", "dust3r", "mast3r", "depth-anything-3"] = "vggt"
    """Which network. Its package has to be installed."""
    checkpoint: Path | None = None
    """Folder or file with its weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""
    cut: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of each photo's pixels, the least confident ones, that are not looked at."""
    max_error_px: Annotated[float, Field(gt=0)] = 8.0
    """A pixel fits a camera within this, px of the photo at the network's size."""
    min_fitting: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A photo of whose confident pixels fewer fit its camera is left out."""
