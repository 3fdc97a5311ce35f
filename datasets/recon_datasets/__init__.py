"""Procedural captures: ray-traced photos of textured geometry with everything known exactly."""

from recon_datasets.capture import make_capture
from recon_datasets.render import PinholeCamera, RenderedView, render_view
from recon_datasets.scenes import SCENES

__all__ = ["SCENES", "PinholeCamera", "RenderedView", "make_capture", "render_view"]
