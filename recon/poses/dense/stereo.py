"""Dense points by multi-view stereo: no network, seconds on a CPU."""

from __future__ import annotations

from recon.poses.dense.fusion import FusionConfig, fuse
from recon.poses.dense.source import DenseInput
from recon.scene.nodes import Points
from recon.stereo.depth_maps import StereoConfig, depth_maps
from recon.stereo.neighbors import scene_points


class StereoSource:
    """Depth maps of all photos (`depth_maps`), and of those what several photos agree on (`fuse`)."""

    def __init__(self, stereo: StereoConfig, fusion: FusionConfig) -> None:
        self.stereo, self.fusion = stereo, fusion

    def points(self, given: DenseInput) -> Points:
        known = None if given.points is None else given.points.positions
        shown = scene_points(given.views, known)
        images = [(image.rgb, image.alpha) for image in given.images]
        maps = depth_maps(given.views, images, shown, self.stereo, given.seed, given.progress)
        return fuse(maps, self.fusion, given.seed)
