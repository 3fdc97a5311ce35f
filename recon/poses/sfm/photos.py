"""What structure from motion knows of the photos before it begins: keypoints, and which photos share a lens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from recon.geometry.camera import Camera
from recon.io.exif import exif_focal_px
from recon.io.images import Image
from recon.poses.features import FeatureConfig, Features, extract_features
from recon.scene.nodes import View


@dataclass(frozen=True)
class Lens:
    """Photos of one size and one focal length setting were taken with one lens."""

    width: int
    height: int
    exif_focal: float | None
    """In longer sides of the photo, None when the header does not tell."""

    def camera(self, focal: float) -> Camera:
        """A pinhole with `focal` in longer sides and its principal point in the middle."""
        return Camera.pinhole(self.width, self.height, focal * max(self.width, self.height))


@dataclass(frozen=True)
class PhotoFeatures:
    """Photos as structure from motion sees them. Keypoints are where the lens put them, in pixels of `lenses`."""

    names: tuple[str, ...]
    features: tuple[Features, ...]
    lenses: tuple[Lens, ...]
    lens_of: tuple[int, ...]
    """For each photo the index of its lens."""

    def separate_lenses(self) -> PhotoFeatures:
        """The same photos, each with a lens of its own."""
        lenses = tuple(self.lenses[index] for index in self.lens_of)
        return PhotoFeatures(self.names, self.features, lenses, tuple(range(len(lenses))))


def read_photos(views: Sequence[View], config: FeatureConfig, load: Callable[[View], Image]) -> PhotoFeatures:
    """Keypoints of the photos of `views`. Of their cameras only the size is looked at."""
    views = [replace(view, camera=_blank(view.camera)) for view in views]
    features = extract_features(views, config, load)
    lenses: list[Lens] = []
    lens_of = []
    for view, found in zip(views, features, strict=True):
        focal = None if view.photo is None else exif_focal_px(view.photo.path)
        share = None if focal is None else round(focal / max(view.camera.width, view.camera.height), 4)
        lens = Lens(found.camera.width, found.camera.height, share)
        if lens not in lenses:
            lenses.append(lens)
        lens_of.append(lenses.index(lens))
    return PhotoFeatures(tuple(view.name for view in views), tuple(features), tuple(lenses), tuple(lens_of))


def _blank(camera: Camera) -> Camera:
    """A camera of the same size that knows nothing of the lens."""
    return Camera.pinhole(camera.width, camera.height, float(max(camera.width, camera.height)))
