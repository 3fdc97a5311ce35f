"""A view's photo as an array, and a view made ready for optimisation: undistorted, scaled, on disk as a PNG."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera, Distortion
from recon.geometry.undistort import undistorted_camera, undistortion_map
from recon.io.decode import decode_mask, decode_photo, write_png
from recon.io.exif import PhotoHeader, orient, read_header
from recon.scene import Photo, View

MIN_VALID_FRACTION = 0.1
"""Less than this left after undistortion means that the distortion parameters cannot be right."""

_INVERSE_ORIENTATION = {6: 8, 8: 6}


@dataclass(frozen=True)
class Image:
    """A decoded photo."""

    rgb: np.ndarray
    """[H, W, 3] float32 in [0, 1], sRGB, not multiplied by alpha."""
    alpha: np.ndarray | None
    """[H, W] float32 in [0, 1]: the photo's alpha times its mask; None when every pixel counts fully."""


def load_image(view: View) -> Image:
    """Decode the photo of `view` with its mask, turned so that it fits the view's camera.

    EXIF orientation is applied, except when the camera's size is that of the unturned pixels alone: then the cameras
    were computed on those. Any other size, a truncated file or a mask of another size raises ReconError.
    """
    if view.photo is None:
        raise ReconError(f"view {view.name}: has no photo", fix="read the capture again with its photos in place")
    pixels, header = decode_photo(view.photo.path)
    camera = view.camera
    as_stored = fits_as_stored(header, camera.width, camera.height)
    if as_stored:
        pixels = orient(pixels, _INVERSE_ORIENTATION.get(header.orientation, header.orientation))
    elif header.size != (camera.width, camera.height):
        raise size_error(f"view {view.name}: {view.photo.path}", header.size, (camera.width, camera.height))
    scale = np.float32(1 / np.iinfo(pixels.dtype).max)
    rgb = np.ascontiguousarray(pixels[..., :3]) * scale
    alpha = pixels[..., 3] * scale if pixels.shape[-1] == 4 else None
    if view.photo.mask is not None:
        mask = _fitting_mask(view.photo.mask, header, as_stored)
        alpha = mask if alpha is None else alpha * mask
    if alpha is not None and (alpha == 1).all():
        alpha = None
    return Image(rgb, alpha)


def is_cut_out(view: View) -> bool:
    """Whether the photo of `view` came with an alpha channel or a mask. Looks at the header alone."""
    photo = view.photo
    return photo is not None and (photo.mask is not None or read_header(photo.path).has_alpha)


def prepare_view(view: View, downscale: float, max_side: int | None, out_dir: Path) -> View:
    """Undistort and shrink the photo of `view`, write it to `out_dir` and return the view of that file.

    downscale: >= 1; width and height are divided by it and rounded, and divided further until the longer side is at
    most `max_side` px. Pixels are averaged over their area, weighted by alpha, and K is scaled by the resulting whole
    numbers of pixels. The new camera is a pinhole (`undistorted_camera`, principal point kept off-centre). The file is
    an 8-bit PNG named like the view; it has an alpha channel where the photo or its mask has one or where
    undistortion leaves an empty border.
    """
    if not downscale >= 1:
        raise ReconError("downscale", found=downscale, wanted="a number of at least 1", fix="set downscale: 1")
    image = load_image(view)
    camera = view.camera
    if not camera.distortion.is_identity:
        image = _undistort(view.name, image, camera)
    camera = undistorted_camera(camera)
    factor = max(downscale, max(camera.width, camera.height) / max_side if max_side else 1.0)
    width, height = (max(1, round(side / factor)) for side in (camera.width, camera.height))
    if (width, height) != (camera.width, camera.height):
        image = _shrink(image, width, height)
        camera = camera.resized(width, height)
    path = out_dir / Path(view.name).with_suffix(".png")
    write_png(path, to_bytes(image))
    return replace(view, camera=camera, photo=Photo(path))


def to_bytes(image: Image) -> np.ndarray:
    """[H, W, 3] or, with alpha, [H, W, 4] uint8."""
    channels = image.rgb if image.alpha is None else np.concatenate([image.rgb, image.alpha[..., None]], axis=-1)
    rounded: np.ndarray = np.rint(channels * 255).clip(0, 255).astype(np.uint8)
    return rounded


def fits_as_stored(header: PhotoHeader, width: int, height: int) -> bool:
    """True when `width` x `height` is the size of the pixels in the file and not that of the photo as it is shown."""
    return header.stored == (width, height) != header.size


def size_error(what: str, found: tuple[int, int], wanted: tuple[int, int]) -> ReconError:
    """The message for a photo that is not of its camera's size, with the factor between them where there is one."""
    (w, h), (camera_w, camera_h) = found, wanted
    ratio = camera_w / w
    if (w, h) == (camera_h, camera_w):
        fix = "the photo is turned by 90 degrees; restore its EXIF orientation or export the cameras again"
    elif abs(camera_h / h - ratio) > 0.01 * ratio:
        fix = "the photo was cropped; use the original or export the cameras again"
    elif ratio > 1:
        fix = f"use the {camera_w}x{camera_h} photos and set downscale: {ratio:.4g}, which gives this size"
    else:
        fix = f"use photos of {camera_w}x{camera_h}, or multiply size, focal length and centre by {1 / ratio:.4g}"
    return ReconError(
        f"{what}: photo and camera do not match",
        found=f"a photo of {w}x{h} px",
        wanted=f"{camera_w}x{camera_h} px as its camera says",
        fix=fix,
    )


def _fitting_mask(path: Path, header: PhotoHeader, as_stored: bool) -> np.ndarray:
    """The mask on the pixel grid that `load_image` returns."""
    mask = decode_mask(path)
    stored, shown = header.stored[::-1], header.size[::-1]
    if as_stored and mask.shape == shown != stored:
        mask = orient(mask, _INVERSE_ORIENTATION.get(header.orientation, header.orientation))
    elif not as_stored and mask.shape == stored != shown:
        mask = orient(mask, header.orientation)
    wanted = stored if as_stored else shown
    if mask.shape != wanted:
        raise ReconError(
            f"{path}: mask is not of its photo's size",
            found=f"{mask.shape[1]}x{mask.shape[0]} px",
            wanted=f"{wanted[1]}x{wanted[0]} px",
            fix="scale the mask to the photo",
        )
    return np.ascontiguousarray(mask)


def _undistort(name: str, image: Image, camera: Camera) -> Image:
    """Resample onto `undistorted_camera(camera)`; pixels that the lens did not see get alpha 0."""
    import cv2

    source, valid = _cached_map(camera)
    no_map = np.empty(0, np.float32)  # `source` holds both coordinates

    def resample(channels: np.ndarray) -> np.ndarray:
        # Cubic: linear resampling would blur a photo that is used at its full size. It overshoots, hence the clip.
        result: np.ndarray = cv2.remap(channels, source, no_map, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return result.clip(0, 1)

    if image.alpha is None:
        rgb, alpha = resample(image.rgb), np.ones(valid.shape, np.float32)
    else:
        alpha = resample(image.alpha)
        rgb = _unmultiply(resample(image.rgb * image.alpha[..., None]), alpha, resample(image.rgb))
    fraction = float(valid.mean())
    if fraction < MIN_VALID_FRACTION:
        raise ReconError(
            f"view {name}: undistortion leaves {fraction:.0%} of the photo",
            found=f"{camera.distortion.model} parameters {camera.distortion.params}",
            fix="check k1, k2, ... and the camera model in the camera file",
        )
    alpha = alpha * valid
    return Image(rgb, None if (alpha == 1).all() else alpha)


def _shrink(image: Image, width: int, height: int) -> Image:
    """Average over the area of each new pixel; colours under alpha 0 have no say where others have one."""
    import cv2

    def average(channels: np.ndarray) -> np.ndarray:
        result: np.ndarray = cv2.resize(channels, (width, height), interpolation=cv2.INTER_AREA)
        return result

    if image.alpha is None:
        return Image(average(image.rgb), None)
    alpha = average(image.alpha)
    return Image(_unmultiply(average(image.rgb * image.alpha[..., None]), alpha, average(image.rgb)), alpha)


def _unmultiply(premultiplied: np.ndarray, alpha: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Colour from colour times alpha; `otherwise` where alpha is too small to divide by."""
    enough = (alpha > 1e-3)[..., None]
    rgb: np.ndarray = np.where(enough, premultiplied / alpha[..., None].clip(min=1e-3), otherwise).clip(0, 1)
    return rgb


_map_lock = threading.Lock()


def _cached_map(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """`undistortion_map` for OpenCV, kept for the photos of the same camera that follow."""
    K = tuple(camera.K.flatten().tolist())
    with _map_lock:  # threads that prepare photos of one camera wait for its map rather than each making their own
        return _map(camera.width, camera.height, K, camera.distortion)


@lru_cache(maxsize=2)
def _map(width: int, height: int, K: tuple[float, ...], distortion: Distortion) -> tuple[np.ndarray, np.ndarray]:
    camera = Camera(width, height, torch.tensor(K, dtype=torch.float64).reshape(3, 3), distortion)
    source, valid = undistortion_map(camera)
    # OpenCV counts pixel positions from the centre of the first pixel.
    return (source - 0.5).numpy(), valid.numpy()
