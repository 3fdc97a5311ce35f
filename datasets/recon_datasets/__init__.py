"""Procedural captures: ray-traced photos of textured geometry with everything known exactly."""

from recon_datasets.cameras import LAYOUTS, cameras_of, look_at
from recon_datasets.capture import make_capture
from recon_datasets.catalog import SCENES
from recon_datasets.render import PinholeCamera, RenderedView, render_view
from recon_datasets.truth import truth_mesh

__all__ = [
    "LAYOUTS",
    "SCENES",
    "PinholeCamera",
    "RenderedView",
    "cameras_of",
    "look_at",
    "make_capture",
    "render_view",
    "truth_mesh",
]
