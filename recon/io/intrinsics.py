"""Intrinsics as camera files give them, and their names for lens models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from recon.errors import ReconError
from recon.geometry.camera import Camera, Distortion

COLMAP_PARAMS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
}
"""COLMAP's parameter order for each lens model that is read. Source: colmap, src/colmap/sensor/models.h."""


def make_distortion(model: str, values: dict[str, float]) -> Distortion:
    """The lens of `model`, a key of COLMAP_PARAMS, from its parameters by name; absent ones are 0."""

    def pick(names: str) -> tuple[float, ...]:
        return tuple(values.get(name, 0.0) for name in names.split())

    if model.endswith("FISHEYE"):
        return Distortion("fisheye", pick("k1 k2 k3 k4"))
    params = pick("k1 k2 p1 p2 k3 k4 k5 k6")
    # The shortest form that OpenCV knows, so that equal lenses compare equal whatever file they came from.
    for length in (4, 5):
        if not any(params[length:]):
            params = params[:length]
            break
    return Distortion("opencv", params) if any(params) else Distortion()


@dataclass(frozen=True)
class Intrinsics:
    """One camera's lens as a file describes it; what the file leaves out follows from the photo's size."""

    where: str
    """File and place, the start of every message."""
    width: int | None = None
    """Image width that the numbers below refer to, px; None when the file does not say."""
    height: int | None = None
    """Image height, px."""
    fx: float | None = None
    """Focal length, px; None when `angle_x` is given."""
    fy: float | None = None
    """Focal length, px; None means that pixels are square or that `angle_y` is given."""
    angle_x: float | None = None
    """Horizontal field of view, rad."""
    angle_y: float | None = None
    """Vertical field of view, rad."""
    cx: float | None = None
    """Principal point, px; None means the middle."""
    cy: float | None = None
    """Principal point, px; None means the middle."""
    distortion: Distortion = field(default_factory=Distortion)
    """Lens model."""
    shared: bool = False
    """True when the file gives them once for several photos."""
    scales: bool = False
    """True where the file is customarily passed on with smaller copies of its photos, whatever their folder's name."""

    def camera(self, width: int, height: int) -> Camera:
        """The camera of a photo of `width` x `height` px; that is the size of these intrinsics where they have one."""
        fx, fy = self.fx, self.fy
        if fx is None and self.angle_x is not None:
            fx = self._focal(width, self.angle_x, "horizontal")
        if fy is None and self.angle_y is not None and self.fx is None:
            fy = self._focal(height, self.angle_y, "vertical")
        fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
        if fx is None or fy is None:
            raise ReconError(f"{self.where}: no focal length", wanted="fl_x in pixels or camera_angle_x in radians")
        for name, value in (("fx", fx), ("fy", fy)):
            if not (math.isfinite(value) and value > 0):
                raise ReconError(
                    f"{self.where}: singular intrinsics",
                    found=f"focal length {name} = {value:g}",
                    wanted="a number of pixels above 0",
                    fix="mend the file or export the cameras again",
                )
        for name, center in (("cx", self.cx), ("cy", self.cy)):
            if center is not None and not math.isfinite(center):
                raise ReconError(
                    f"{self.where}: principal point {name}", found=center, wanted="a finite number of pixels"
                )
        if not all(math.isfinite(value) for value in self.distortion.params):
            raise ReconError(
                f"{self.where}: distortion parameters", found=self.distortion.params, wanted="finite numbers"
            )
        camera = Camera.pinhole(width, height, fx, fy, self.cx, self.cy)
        return Camera(width, height, camera.K, self.distortion)

    def _focal(self, size: int, angle: float, name: str) -> float:
        if not 0 < angle < math.pi:
            raise ReconError(
                f"{self.where}: singular intrinsics",
                found=f"a {name} field of view of {angle:g} rad",
                wanted="between 0 and pi",
                fix="give camera_angle_x in radians or fl_x in pixels",
            )
        return 0.5 * size / math.tan(0.5 * angle)


def from_colmap(where: str, model: str, width: int, height: int, params: Sequence[float], shared: bool) -> Intrinsics:
    """Intrinsics of a COLMAP camera."""
    names = COLMAP_PARAMS.get(model)
    if names is None:
        raise unknown_model(where, model)
    if len(params) != len(names.split()):
        raise ReconError(f"{where}: {model}", found=f"{len(params)} parameters", wanted=f"{names}")
    if width < 1 or height < 1:
        raise ReconError(f"{where}: image size", found=f"{width}x{height}", wanted="at least 1x1 px")
    values = dict(zip(names.split(), params, strict=True))
    fx = values.get("fx", values.get("f"))
    return Intrinsics(
        where,
        width,
        height,
        fx=fx,
        fy=values.get("fy", fx),
        cx=values["cx"],
        cy=values["cy"],
        distortion=make_distortion(model, values),
        shared=shared,
    )


def unknown_model(where: str, model: str) -> ReconError:
    """The message for a lens that no reader converts."""
    return ReconError(
        f"{where}: unknown camera model",
        found=model,
        wanted="one of " + ", ".join(COLMAP_PARAMS),
        fix="undistort the photos first, for instance with `colmap image_undistorter`",
    )
