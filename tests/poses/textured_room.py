"""Exact photos of two textured walls, made by warping; the geometry is known to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion, distort, pixel_grid
from recon.io.images import Image
from recon.scene import Photo, Scene, View


@dataclass
class Room:
    """Views of the plane z = 0 (x, y in [-2, 2]) and the picture that each of them takes."""

    scene: Scene
    images: dict[str, Image]

    def load(self, view: View) -> Image:
        """What `load_image` does, from memory."""
        return self.images[view.name]


def texture(size: int = 1024) -> np.ndarray:
    """Blobs at many scales, [size, size, 3] float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    image = np.zeros((size, size, 3), np.float32)
    for cells in (16, 64, 256):
        layer = rng.random((cells, cells, 3), dtype=np.float32)
        image += cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image / 3, 0, 1)


def make_room(count: int = 4, distortion: Distortion | None = None, width: int = 480, height: int = 360) -> Room:
    """`count` cameras on an arc at distance 3 from the wall's middle, off-centre principal point."""
    angles = [(k - (count - 1) / 2) * 0.2 for k in range(count)]
    eyes = [(3 * np.sin(angle), 0.3 * (k % 2), -3 * np.cos(angle)) for k, angle in enumerate(angles)]
    return room_seen_from(eyes, distortion, width, height)


def room_seen_from(
    eyes: Sequence[tuple[float, float, float]],
    distortion: Distortion | None = None,
    width: int = 480,
    height: int = 360,
) -> Room:
    """Cameras at `eyes` that look at the wall's middle."""
    K = torch.tensor([[400.0, 0, 250], [0, 410, 175], [0, 0, 1]], dtype=torch.float64)
    camera = Camera(width, height, K, distortion or Distortion())
    wall = texture()
    views, images = [], {}
    for k, eye in enumerate(eyes):
        pose = rigid.look_at(
            torch.tensor(eye, dtype=torch.float64),
            torch.zeros(3, dtype=torch.float64),
            torch.tensor([0.0, -1, 0], dtype=torch.float64),
        )
        name = f"{k}.png"
        views.append(View(name, camera, pose, Photo(Path(name))))
        images[name] = Image(_photograph(wall, camera, pose), None)
    return Room(Scene(tuple(views)), images)


def _photograph(wall: np.ndarray, camera: Camera, pose: torch.Tensor) -> np.ndarray:
    """Look up, for every pixel, the point of z = 0 that it sees."""
    focal, center = camera.K.diagonal()[:2], camera.K[:2, 2]
    observed = (pixel_grid(camera.width, camera.height, torch.float64) - center) / focal
    ideal = observed
    for _ in range(100):  # fixed point, contracting for the mild lenses of these tests
        ideal = ideal + observed - distort(ideal, camera.distortion)
    rays = torch.cat([ideal, torch.ones_like(ideal[..., :1])], -1) @ pose[:3, :3]
    eye = rigid.camera_center(pose)
    hits = eye + rays * (-eye[2] / rays[..., 2])[..., None]
    uv = ((hits[..., :2] + 2) / 4 * wall.shape[0] - 0.5).float().numpy()
    return cv2.remap(wall, uv[..., 0], uv[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def with_splits(room: Room, test: set[str]) -> Scene:
    """The scene with some views held out."""
    views = tuple(replace(v, split="test") if v.name in test else v for v in room.scene.views)
    return replace(room.scene, views=views)
