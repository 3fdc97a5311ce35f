"""Ray tracing: direct light with shadows, an ambient term and a highlight."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry.camera import Camera, Distortion, distort
from recon.poses.features import undistort_pixels
from recon_datasets.scenes import Item, SceneModel
from recon_datasets.shapes import Array, dot

SKY = np.array([0.75, 0.82, 0.9])
CHUNK = 1 << 16  # rays at a time: the arrays of one chunk stay in the cache


@dataclass(frozen=True)
class PinholeCamera:
    """OpenCV axes; (0.5, 0.5) is the centre of the first pixel. A pinhole but for its lens's distortion."""

    width: int
    height: int
    K: Array
    """[3, 3], px."""
    world_to_camera: Array
    """[4, 4], m."""
    distortion: Distortion = field(default_factory=Distortion)
    """Of the lens, if it is to have any."""

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [N, 2] and depths [N], m, of world points [N, 3]; pixels mean nothing where depth is not positive."""
        local = points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            ideal = local[:, :2] / local[:, 2:]
        observed = distort(torch.from_numpy(ideal), self.distortion).numpy()
        return observed * self.K.diagonal()[:2] + self.K[:2, 2], local[:, 2]

    def ideal(self, pixels: Array) -> Array:
        """Where pixels [N, 2] would lie without distortion. ReconError where the lens model cannot be inverted."""
        if self.distortion.is_identity:
            return pixels
        camera = Camera(self.width, self.height, torch.from_numpy(self.K), self.distortion)
        found, sound = undistort_pixels(torch.from_numpy(pixels), camera)
        if not sound.all():
            raise ReconError(
                f"lens {self.distortion.model} {self.distortion.params}",
                found=f"{int((~sound).sum())} pixels of {self.width}x{self.height} that no ray ends in",
                fix="take smaller distortion parameters",
            )
        return found.numpy().astype(pixels.dtype)


@dataclass(frozen=True)
class RenderedView:
    """A photo and the truth behind it."""

    rgb: Array
    """[H, W, 3] uint8, sRGB."""
    depth: Array
    """[H, W] float32, along z through the pixel's centre, m; infinity where nothing is."""
    normal: Array
    """[H, W, 3] float32, world, towards the camera; 0 where nothing is."""
    mask: Array
    """[H, W] bool: the object, through the pixel's centre."""


def trace(items: tuple[Item, ...], origins: Array, directions: Array) -> tuple[Array, Array]:
    """Nearest hit of world rays: t [N] (infinity for none) and item index [N] (-1 for none)."""
    best = np.full(len(origins), np.inf, origins.dtype)
    which = np.full(len(origins), -1)
    for index, item in enumerate(items):
        rows = _rows_near(item, origins, directions)
        t = item.shape.intersect(*_local(item, origins[rows], directions[rows]))
        closer = t < best[rows]
        near = rows[closer]
        best[near], which[near] = t[closer], index
    return best, which


def _rows_near(item: Item, origins: Array, directions: Array) -> Array:
    """Indices of the rays whose line passes the item's bounding sphere; most rays miss most items."""
    radius = item.shape.bound * 1.001 + 1e-4  # rounding must not lose a ray
    x, y, z = (item.position[k].astype(origins.dtype) - origins[:, k] for k in range(3))
    u, v, w = directions.T
    along = x * u + y * v + z * w
    square = u * u + v * v + w * w
    # Distance of the line from the centre, squared and times |direction|^2.
    return np.flatnonzero((x * x + y * y + z * z - radius * radius) * square <= along * along)


def surface(items: tuple[Item, ...], which: Array, points: Array) -> tuple[Array, Array]:
    """World normals [N, 3] and albedo [N, 3] of points on the items `which` [N]."""
    normals, albedo = np.zeros_like(points), np.zeros_like(points)
    for index, item in enumerate(items):
        rows = np.flatnonzero(which == index)
        if len(rows):
            rotation = item.rotation.astype(points.dtype)
            normal, uv = item.shape.surface(_times(points[rows] - item.position.astype(points.dtype), rotation))
            normals[rows] = _times(normal, rotation.T)
            albedo[rows] = np.clip(item.texture(uv), 0, 1)
    return normals, albedo


def shade(model: SceneModel, origins: Array, directions: Array, bounces: int = 1) -> Array:
    """sRGB colours [N, 3] in [0, 1] that arrive along unit rays. Mirrors show mirrors as dull after `bounces`."""
    t, which = trace(model.items, origins, directions)
    hit = np.flatnonzero(which >= 0)
    color = np.tile(SKY.astype(origins.dtype), (len(origins), 1))
    points = origins[hit] + t[hit, None] * directions[hit]
    normals, albedo = surface(model.items, which[hit], points)
    away = dot(normals, directions[hit]) > 0
    normals[away] *= -1

    light = (np.array(model.light.direction) / np.linalg.norm(model.light.direction)).astype(origins.dtype)
    casters = tuple(item for item in model.items if item.casts_shadow)
    blocked, _ = trace(casters, points + 1e-3 * normals, np.tile(light, (len(points), 1)))
    direct = np.clip(dot(normals, light[None]), 0, None) * np.isinf(blocked)
    ambient = model.light.ambient + 0.16 * normals[:, 2]
    half = light - directions[hit]
    half /= np.sqrt(dot(half, half))[:, None]
    shine = np.array([item.shine for item in model.items], origins.dtype)[which[hit]]
    highlight = shine * np.clip(dot(normals, half), 0, None) ** 40 * np.isinf(blocked)
    tint = np.array(model.light.tint, origins.dtype)
    color[hit] = albedo * (ambient + model.light.sun * direct)[:, None] * tint + 0.6 * highlight[:, None]
    mirror = np.array([item.mirror for item in model.items], origins.dtype)[which[hit]]
    bright = np.flatnonzero((mirror > 0) & (bounces > 0))
    if len(bright):
        incoming, normal = directions[hit[bright]], normals[bright]
        outgoing = incoming - 2 * dot(incoming, normal)[:, None] * normal
        seen = shade(model, points[bright] + 1e-3 * normal, outgoing, bounces - 1)
        share = mirror[bright, None]
        color[hit[bright]] = (1 - share) * color[hit[bright]] + share * seen
    return np.clip(color, 0, 1)


def render_view(model: SceneModel, camera: PinholeCamera, samples: int = 4, seed: int = 0) -> RenderedView:
    """Trace one view with samples x samples / samples jittered strata per pixel (samples rounded to a square)."""
    side = max(1, round(samples**0.5))
    random = np.random.default_rng(seed)
    shape = (camera.height, camera.width)
    x, y = np.meshgrid(np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32))
    total = np.zeros((x.size, 3), np.float32)
    for i in range(side):
        for j in range(side):
            jitter = random.random((2, x.size), np.float32)
            pixels = np.stack([x.reshape(-1) + (i + jitter[0]) / side, y.reshape(-1) + (j + jitter[1]) / side], 1)
            origins, directions = rays(camera, pixels)
            for start in range(0, len(pixels), CHUNK):
                piece = slice(start, start + CHUNK)
                total[piece] += shade(model, origins[piece], directions[piece])
    rgb = (total / side**2 * 255 + 0.5).astype(np.uint8).reshape(*shape, 3)

    centers = np.stack([x.reshape(-1) + 0.5, y.reshape(-1) + 0.5], 1).astype(np.float64)
    origins, directions = rays(camera, centers)
    t, which = trace(model.items, origins, directions)
    found = which >= 0
    normals = np.zeros_like(directions)
    points = origins[found] + t[found, None] * directions[found]
    normals[found], _ = surface(model.items, which[found], points)
    normals *= np.where((normals * directions).sum(1, keepdims=True) > 0, -1, 1)
    forward = camera.world_to_camera[2, :3]
    depth = t * (directions * forward).sum(1)
    objects = np.array([item.is_object for item in model.items] + [False])
    return RenderedView(
        rgb,
        depth.astype(np.float32).reshape(shape),
        normals.astype(np.float32).reshape(*shape, 3),
        objects[which].reshape(shape),
    )


def rays(camera: PinholeCamera, pixels: Array) -> tuple[Array, Array]:
    """World origins [N, 3] and unit directions [N, 3] through `pixels` [N, 2]; their precision is that of `pixels`."""
    K, pose = camera.K, camera.world_to_camera
    pixels = camera.ideal(pixels)
    local = np.stack([(pixels[:, 0] - K[0, 2]) / K[0, 0], (pixels[:, 1] - K[1, 2]) / K[1, 1], np.ones(len(pixels))], 1)
    directions = _times(local, pose[:3, :3])
    directions /= np.sqrt(dot(directions, directions))[:, None]
    center = -pose[:3, :3].T @ pose[:3, 3]
    return np.tile(center.astype(pixels.dtype), (len(pixels), 1)), directions.astype(pixels.dtype)


def _local(item: Item, origins: Array, directions: Array) -> tuple[Array, Array]:
    rotation = item.rotation.astype(origins.dtype)
    return _times(origins - item.position.astype(origins.dtype), rotation), _times(directions, rotation)


def _times(vectors: Array, matrix: Array) -> Array:
    """vectors @ matrix, without BLAS: its threads would fight with ours over matrices this small."""
    x, y, z = vectors.T
    out = np.empty_like(vectors)
    for k in range(3):  # column by column: numpy is slow along rows of three
        out[:, k] = x * matrix[0, k] + y * matrix[1, k] + z * matrix[2, k]
    return out
