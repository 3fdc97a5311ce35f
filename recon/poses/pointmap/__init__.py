"""Cameras from networks that say for every pixel where in space it lies. A new one is a file here and a line."""

from __future__ import annotations

from collections.abc import Mapping

from recon.poses.pointmap.depth_anything import DepthAnything
from recon.poses.pointmap.dust3r import Dust3r, Mast3r
from recon.poses.pointmap.model import PointmapModel
from recon.poses.pointmap.vggt import Vggt

POINTMAPS: Mapping[str, type[PointmapModel]] = {
    "vggt": Vggt,
    "dust3r": Dust3r,
    "mast3r": Mast3r,
    "depth-anything-3": DepthAnything,
}
"""By the name that `poses.pointmap.model` gives them."""

__all__ = ["POINTMAPS", "PointmapModel"]
