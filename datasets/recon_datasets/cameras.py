"""Where the photos are taken from: seeded camera layouts around a scene's target."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon_datasets.render import PinholeCamera
from recon_datasets.scenes import SceneModel
from recon_datasets.shapes import Array

Layout = Literal["arc", "orbit", "forward"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
FOCAL = 0.95
"""Focal length in units of the longer side: about 55 degrees."""
MARGIN = 0.05
"""Cameras keep this far from the walls and the floor, m."""


def cameras_of(
    model: SceneModel,
    views: int,
    width: int,
    height: int,
    seed: int,
    layout: Layout = "arc",
    center: tuple[float, float] = (0.51, 0.49),
    distortion: Distortion | None = None,
) -> list[PinholeCamera]:
    """Jittered cameras that look at the scene's target.

    arc: along the scene's own arc, rising and sinking three times; orbit: the same all the way round; forward: from a
    patch of a plane before the target, ordered from one side to the other. `center`: principal point in units of the
    image size; off the middle by default, because real ones are. Every number follows from `seed`. ReconError when a
    camera would stand outside the scene's room.
    """
    random = np.random.default_rng([seed, 1])
    focal = FOCAL * max(width, height)
    K = np.array([[focal, 0, center[0] * width], [0, focal, center[1] * height], [0, 0, 1]])
    if layout == "forward":
        eyes, targets = _patch(model, views, random)
    else:
        start = model.arc_deg[0]
        eyes, targets = _ring(model, views, random, start, model.arc_deg[1] if layout == "arc" else start + 360)
    for eye in eyes:
        if np.abs(eye[:2]).max() > model.room - MARGIN or eye[2] < MARGIN:
            raise ReconError(
                f"layout {layout}",
                found=f"a camera at ({eye[0]:.2f}, {eye[1]:.2f}, {eye[2]:.2f}) m",
                wanted=f"|x| and |y| below {model.room} m, inside the room, and z above the floor",
                fix="take layout arc for this scene",
            )
    lens = distortion or Distortion()
    return [
        PinholeCamera(width, height, K, look_at(eye, target), lens) for eye, target in zip(eyes, targets, strict=True)
    ]


def look_at(eye: Array, target: Array) -> Array:
    """`world_to_camera` [4, 4], OpenCV axes, upright with respect to +z."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def _ring(
    model: SceneModel, views: int, random: np.random.Generator, start: float, end: float
) -> tuple[list[Array], list[Array]]:
    """Eyes on a wavy circle about the target from azimuth `start` to `end`, degrees, and what they look at."""
    center = np.asarray(model.target, float)
    eyes, targets = [], []
    for index in range(views):
        share = (index + 0.5) / views
        azimuth = np.radians(start + share * (end - start) + random.uniform(-1, 1))
        swing = 0.5 - 0.5 * np.cos(share * 6 * np.pi)
        rise = model.heights[0] + swing * (model.heights[1] - model.heights[0])
        radius = model.radius * random.uniform(0.95, 1.05)
        eyes.append(center + np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), rise]))
        targets.append(center + random.uniform(-0.03, 0.03, 3))
    return eyes, targets


def _patch(model: SceneModel, views: int, random: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """Eyes on an upright patch in the middle of the arc, evenly spread (R2 sequence, Roberts 2018)."""
    center = np.asarray(model.target, float)
    middle = np.radians(sum(model.arc_deg) / 2)
    back = np.array([np.cos(middle), np.sin(middle), 0])
    side = np.array([-back[1], back[0], 0])
    spread = (np.arange(views)[:, None] * [0.7548776662466927, 0.5698402909980532] + 0.5) % 1
    spread = spread[spread[:, 0].argsort()] + random.uniform(-0.02, 0.02, (views, 2))
    rise = model.heights[0] + spread[:, 1] * (model.heights[1] - model.heights[0])
    across = 0.7 * model.radius * (spread[:, 0] - 0.5)
    eyes = center + model.radius * back + across[:, None] * side + rise[:, None] * [0, 0, 1]
    return list(eyes), list(center + random.uniform(-0.03, 0.03, (views, 3)))
