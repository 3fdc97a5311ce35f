"""Keypoints and descriptors of photos, moved to ideal pinhole pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.config import config
from recon.geometry.camera import Camera, distort
from recon.io.images import Image, load_image
from recon.scene.nodes import View


@config
class FeatureConfig:
    """How many keypoints to take, and from how large an image."""

    max_image_side: int = 960
    """Photos are area-downscaled to this longest side first, px. Below about 900 px few-view models get poor."""
    max_features: int = 8192
    """Keypoints kept per photo, the largest first."""
    peak_threshold: float = 0.003
    """Least contrast of a keypoint, in [0, 1]. COLMAP's 0.0067 finds half as many; known poses sort
    out the weak ones."""
    first_octave: int = -1
    """-1 doubles the image before the first octave, which finds details of one pixel; 0 is three times quicker."""


@dataclass(frozen=True)
class Features:
    """Keypoints of one photo."""

    camera: Camera
    """Pinhole camera (no distortion) whose pixels the keypoints are given in."""
    pixels: Tensor
    """[F, 2] float64, px of `camera`: distortion is removed."""
    descriptors: Tensor
    """[F, 128] float32, unit length (root SIFT)."""
    colors: Tensor
    """[F, 3] float32 in [0, 1], sRGB colour of the photo at the keypoint."""


@contextmanager
def quiet_pycolmap() -> Iterator[None]:
    """Keep COLMAP's log at what ends the process: its lines would tear a progress bar apart, and an attempt that finds
    no model is an error to it."""
    import pycolmap

    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = 3  # glog: 0 info, 1 warning, 2 error, 3 fatal
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before


def undistort_pixels(pixels: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Observed pixels [F, 2] to those of the ideal pinhole with the same K, and which of them are sound [F] bool.

    Newton's method, because the inverse has no closed form, then checked by distorting back. Where that misses
    by more than a tenth of a pixel (beyond the radius where a polynomial lens model folds over) the pixel is not
    sound.
    """
    if camera.distortion.is_identity:
        return pixels, torch.ones(len(pixels), dtype=torch.bool)
    focal, center = camera.K.diagonal()[:2], camera.K[:2, 2]
    observed = (pixels.double() - center) / focal
    points = observed
    if camera.distortion.model == "fisheye":  # the equidistant inverse, which Newton only has to touch up
        angle = observed.norm(dim=-1, keepdim=True).clamp(1e-12, 1.5)
        points = observed / angle * torch.tan(angle)
    step = 1e-6
    for _ in range(10):
        residual = distort(points, camera.distortion) - observed
        shifts = torch.eye(2, dtype=torch.float64) * step
        columns = [
            (distort(points + h, camera.distortion) - distort(points - h, camera.distortion)) / (2 * step)
            for h in shifts
        ]
        J = torch.stack(columns, dim=-1)
        det = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0]
        adjugate = torch.stack([J[..., 1, 1], -J[..., 0, 1], -J[..., 1, 0], J[..., 0, 0]], dim=-1).unflatten(-1, (2, 2))
        points = points - (adjugate @ residual[..., None]).squeeze(-1) / det[..., None]
    error = ((distort(points, camera.distortion) - observed) * focal).norm(dim=-1)
    return points * focal + center, (error < 0.1) & points.isfinite().all(-1)


def extract_features(
    views: Sequence[View], config: FeatureConfig, load: Callable[[View], Image] = load_image
) -> list[Features]:
    """SIFT keypoints of every view's photo; masked and transparent areas give none.

    Deterministic. Source: Lowe 2004; Arandjelovic & Zisserman 2012 (root SIFT), through pycolmap.
    """
    import pycolmap

    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.num_threads = 1  # one photo per thread below
    options.sift.max_num_features = config.max_features
    options.sift.first_octave = config.first_octave
    # pycolmap divides the threshold by the layers of an octave itself.
    options.sift.peak_threshold = config.peak_threshold

    def extract(view: View) -> Features:
        extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
        image = load(view)
        rgb, alpha, camera = _downscaled(image, view.camera, config.max_image_side)
        grey = (rgb @ np.array([0.299, 0.587, 0.114], np.float32) * 255 + 0.5).astype(np.uint8)
        keypoints, descriptors = extractor.extract_from_uint8_array(grey)
        pixels = torch.tensor([(k.x, k.y) for k in keypoints], dtype=torch.float64).reshape(-1, 2)
        data = torch.from_numpy(descriptors.data.astype(np.float32)).reshape(-1, 128)
        columns = pixels[:, 0].long().clamp(0, camera.width - 1)
        rows = pixels[:, 1].long().clamp(0, camera.height - 1)
        colors = torch.from_numpy(rgb)[rows, columns]
        ideal, keep = undistort_pixels(pixels, camera)
        if alpha is not None:
            keep &= torch.from_numpy(alpha)[rows, columns] > 0.5
        data = torch.nn.functional.normalize(data[keep], dim=-1)
        return Features(Camera(camera.width, camera.height, camera.K), ideal[keep], data, colors[keep])

    with quiet_pycolmap(), ThreadPoolExecutor(max(1, min(len(views), torch.get_num_threads()))) as pool:
        return list(pool.map(extract, views))


def _downscaled(image: Image, camera: Camera, max_side: int) -> tuple[np.ndarray, np.ndarray | None, Camera]:
    """Colour, alpha and camera with the longest side at most `max_side`."""
    scale = max_side / max(camera.width, camera.height)
    if scale >= 1:
        return image.rgb, image.alpha, camera
    import cv2

    size = (max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
    rgb = cv2.resize(image.rgb, size, interpolation=cv2.INTER_AREA)
    alpha = None if image.alpha is None else cv2.resize(image.alpha, size, interpolation=cv2.INTER_AREA)
    return rgb, alpha, camera.resized(*size)
