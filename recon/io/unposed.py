"""Photos without cameras: what their headers say, and nothing else."""

from __future__ import annotations

import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.io.exif import exif_focal_px, read_header
from recon.io.files import natural_key
from recon.io.frames import MIN_VIEWS, Capture, view_names
from recon.io.photos import MaskFolder, PhotoSet
from recon.scene import Photo, Scene, View

_USUAL_FOCAL = 0.9  # longer sides


def read_unposed(photos: PhotoSet, masks: MaskFolder | None) -> Capture:
    """All photos of the set, upright, with cameras whose size is right, whose focal length is the header's or a usual
    one, and whose pose is the identity: somebody has to estimate them.
    """
    paths = photos.in_order()
    if len(paths) < MIN_VIEWS:
        raise ReconError(
            f"{photos.where}: too few photos", found=len(paths), wanted=f"at least {MIN_VIEWS}, better 5 to 30",
            fix="add photos of the same scene from other places",
        )  # fmt: skip
    mask_of = masks.for_all(paths) if masks else {}
    views = []
    for name, path in zip(view_names(photos.where, paths), paths, strict=True):
        width, height = read_header(path).size
        camera = Camera.pinhole(width, height, exif_focal_px(path) or _USUAL_FOCAL * max(width, height))
        views.append(View(name, camera, torch.eye(4, dtype=torch.float64), Photo(path, mask_of.get(path))))
    views.sort(key=lambda view: natural_key(view.name))
    return Capture(Scene(tuple(views)), posed=False)
