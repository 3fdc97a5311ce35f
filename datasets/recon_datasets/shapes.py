"""Analytic shapes in their own frame: ray intersection, outward normals, surface coordinates and a tessellation.

Arrays are [N, 3] float32 or float64. A ray is origin + t direction; directions need not have unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from recon.render.distance import first_hits, nearest

Array = np.ndarray
CHORD = 1e-4
"""Triangles of a tessellation stay within about this of a round surface, m."""
EPS = 1e-4
"""Hits nearer than this, in units of t, are the surface that the ray started from."""


class Shape(Protocol):
    """A surface. A new one is a class here."""

    @property
    def bound(self) -> float:
        """Radius of a sphere around the origin that holds the surface."""
        ...

    def intersect(self, origins: Array, directions: Array) -> Array:
        """[N] smallest t > EPS, infinity for misses."""
        ...

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Unit normals [N, 3] and surface coordinates [N, 2], in scene units, of points on the surface."""
        ...

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        """Vertices [V, 3] on the surface and triangles [F, 3] with edges of about `edge`, counter-clockwise outside."""
        ...


@dataclass(frozen=True)
class Box:
    """Centred box with the given half sizes."""

    half: tuple[float, float, float]

    @property
    def bound(self) -> float:
        return float(np.linalg.norm(self.half))

    def intersect(self, origins: Array, directions: Array) -> Array:
        half = np.asarray(self.half, origins.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / directions
            a, b = (-half - origins) * inverse, (half - origins) * inverse
        low, high = np.fmin(a, b), np.fmax(a, b)
        # Column by column: numpy reduces rows of three slowly.
        near = np.maximum(np.maximum(low[:, 0], low[:, 1]), low[:, 2])
        far = np.minimum(np.minimum(high[:, 0], high[:, 1]), high[:, 2])
        t = np.where(near > EPS, near, far)
        return np.where((near <= far) & (t > EPS), t, np.inf).astype(origins.dtype)

    def surface(self, points: Array) -> tuple[Array, Array]:
        ratio = np.abs(points) / np.asarray(self.half, points.dtype)
        axis = ratio.argmax(1)
        rows = np.arange(len(points))
        normals = np.zeros_like(points)
        normals[rows, axis] = np.sign(points[rows, axis])
        # Faces get coordinates far from each other, so that no two show the same piece of a texture.
        u, v = points[rows, (axis + 1) % 3], points[rows, (axis + 2) % 3]
        shift = (2 * axis + (normals[rows, axis] > 0)).astype(points.dtype) * 7.3
        return normals, np.stack([u + shift, v], 1)

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        parts = []
        for axis in range(3):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            for sign in (-1.0, 1.0):
                u, v, faces = _grid(2 * self.half[i], 2 * self.half[j], edge)
                vertices = np.zeros((len(u), 3))
                vertices[:, axis], vertices[:, i], vertices[:, j] = sign * self.half[axis], u, v
                parts.append((vertices, faces if sign > 0 else faces[:, ::-1]))
        return _join(parts)


@dataclass(frozen=True)
class Rectangle:
    """Flat piece of z = 0, seen from both sides."""

    half: tuple[float, float]

    @property
    def bound(self) -> float:
        return float(np.hypot(*self.half))

    def intersect(self, origins: Array, directions: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -origins[:, 2] / directions[:, 2]
            x, y = origins[:, 0] + t * directions[:, 0], origins[:, 1] + t * directions[:, 1]
            hit = (t > EPS) & (np.abs(x) <= self.half[0]) & (np.abs(y) <= self.half[1])
        return np.where(hit, t, np.inf).astype(origins.dtype)

    def surface(self, points: Array) -> tuple[Array, Array]:
        normals = np.zeros_like(points)
        normals[:, 2] = 1
        return normals, points[:, :2].copy()

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        u, v, faces = _grid(2 * self.half[0], 2 * self.half[1], edge)
        return np.stack([u, v, np.zeros_like(u)], 1), faces


@dataclass(frozen=True)
class Sphere:
    """Centred sphere."""

    radius: float

    @property
    def bound(self) -> float:
        return self.radius

    def intersect(self, origins: Array, directions: Array) -> Array:
        a = dot(directions, directions)
        b = dot(origins, directions)
        c = dot(origins, origins) - self.radius**2
        return _first_root(a, b, c)

    def surface(self, points: Array) -> tuple[Array, Array]:
        normals = points / self.radius
        u = np.arctan2(points[:, 1], points[:, 0]) * self.radius
        v = np.arcsin(np.clip(normals[:, 2], -1, 1)) * self.radius
        return normals, np.stack([u, v], 1)

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        around = max(12, int(2 * np.pi * self.radius / min(edge, _longest_chord(self.radius, CHORD / 2))))
        rings = max(6, around // 2)
        theta = np.linspace(0, np.pi, rings + 1)[1:-1]
        phi = np.arange(around) * 2 * np.pi / around
        body = np.stack(
            [np.outer(np.sin(theta), np.cos(phi)), np.outer(np.sin(theta), np.sin(phi)),
             np.outer(np.cos(theta), np.ones_like(phi))], -1,
        ).reshape(-1, 3)  # fmt: skip
        vertices = np.concatenate([body, [[0, 0, 1], [0, 0, -1]]]) * self.radius
        north, south = len(body), len(body) + 1
        faces = []
        for k in range(around):
            n = (k + 1) % around
            faces.append((north, k, n))
            faces.append((south, (rings - 2) * around + n, (rings - 2) * around + k))
            for r in range(rings - 2):
                a, b, c, d = r * around + k, r * around + n, (r + 1) * around + k, (r + 1) * around + n
                faces += [(a, c, b), (b, c, d)]
        return vertices, np.asarray(faces)


@dataclass(frozen=True)
class Cylinder:
    """Closed cylinder around z."""

    radius: float
    half_height: float

    @property
    def bound(self) -> float:
        return float(np.hypot(self.radius, self.half_height))

    def intersect(self, origins: Array, directions: Array) -> Array:
        a = dot(directions[:, :2], directions[:, :2])
        b = dot(origins[:, :2], directions[:, :2])
        c = dot(origins[:, :2], origins[:, :2]) - self.radius**2
        best = np.full(len(origins), np.inf, origins.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(b * b - a * c)
            for t in ((-b - root) / a, (-b + root) / a):
                good = (t > EPS) & (np.abs(origins[:, 2] + t * directions[:, 2]) <= self.half_height)
                best = np.where(good & (t < best), t, best)
            for z in (-self.half_height, self.half_height):
                t = (z - origins[:, 2]) / directions[:, 2]
                x, y = origins[:, 0] + t * directions[:, 0], origins[:, 1] + t * directions[:, 1]
                inside = x * x + y * y <= self.radius**2
                best = np.where((t > EPS) & inside & (t < best), t, best)
        return best.astype(origins.dtype)

    def surface(self, points: Array) -> tuple[Array, Array]:
        cap = np.abs(points[:, 2]) / self.half_height > np.hypot(points[:, 0], points[:, 1]) / self.radius
        normals = np.zeros_like(points)
        normals[:, :2] = np.where(cap[:, None], 0, points[:, :2] / self.radius)
        normals[:, 2] = np.where(cap, np.sign(points[:, 2]), 0)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        u = np.arctan2(points[:, 1], points[:, 0]) * self.radius
        return normals, np.where(cap[:, None], points[:, :2] + 5, np.stack([u, points[:, 2]], 1))

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        around = max(16, int(2 * np.pi * self.radius / min(edge, _longest_chord(self.radius, CHORD))))
        rows = max(1, int(2 * self.half_height / edge))
        phi = np.arange(around) * 2 * np.pi / around
        circle = np.stack([np.cos(phi), np.sin(phi)], 1) * self.radius
        heights = np.linspace(-self.half_height, self.half_height, rows + 1)
        body = np.concatenate([np.column_stack([circle, np.full(around, z)]) for z in heights])
        vertices = np.concatenate([body, [[0, 0, -self.half_height], [0, 0, self.half_height]]])
        bottom, top = len(body), len(body) + 1
        faces = []
        for k in range(around):
            n = (k + 1) % around
            faces += [(bottom, n, k), (top, rows * around + k, rows * around + n)]
            for r in range(rows):
                a, b, c, d = r * around + k, r * around + n, (r + 1) * around + k, (r + 1) * around + n
                faces += [(a, b, c), (b, d, c)]
        return vertices, np.asarray(faces)


@dataclass(frozen=True)
class Sheet:
    """Open piece of a cylinder around y, bulging towards +z: |angle| <= half_angle, |y| <= half_width."""

    radius: float
    half_angle: float
    half_width: float

    @property
    def bound(self) -> float:
        return float(np.hypot(self.radius, self.half_width))

    def intersect(self, origins: Array, directions: Array) -> Array:
        xz, dxz = origins[:, [0, 2]], directions[:, [0, 2]]
        a, b = dot(dxz, dxz), dot(xz, dxz)
        c = dot(xz, xz) - self.radius**2
        best = np.full(len(origins), np.inf, origins.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(b * b - a * c)
            for t in ((-b - root) / a, (-b + root) / a):
                p = origins + t[:, None] * directions
                good = (t > EPS) & (np.abs(np.arctan2(p[:, 0], p[:, 2])) <= self.half_angle)
                good &= np.abs(p[:, 1]) <= self.half_width
                best = np.where(good & (t < best), t, best)
        return best.astype(origins.dtype)

    def surface(self, points: Array) -> tuple[Array, Array]:
        normals = points.copy()
        normals[:, 1] = 0
        angle = np.arctan2(points[:, 0], points[:, 2])
        return normals / np.linalg.norm(normals, axis=1, keepdims=True), np.stack(
            [angle * self.radius, points[:, 1]], 1
        )

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        u, v, faces = _grid(
            2 * self.half_angle * self.radius, 2 * self.half_width, min(edge, _longest_chord(self.radius, CHORD))
        )
        angle = u / self.radius
        return np.stack([self.radius * np.sin(angle), v, self.radius * np.cos(angle)], 1), faces


def dot(a: Array, b: Array) -> Array:
    """Row by row, [N]; one column at a time, as numpy reduces rows of three slowly."""
    total = a[:, 0] * b[:, 0]
    for k in range(1, a.shape[1]):
        total = total + a[:, k] * b[:, k]
    return total


def _first_root(a: Array, b: Array, c: Array) -> Array:
    """Smallest root above EPS of a t^2 + 2 b t + c."""
    with np.errstate(invalid="ignore"):
        root = np.sqrt(b * b - a * c)
        near, far = (-b - root) / a, (-b + root) / a
        return np.where(near > EPS, near, np.where(far > EPS, far, np.inf)).astype(a.dtype)


def _longest_chord(radius: float, height: float) -> float:
    """Length of a chord whose arc of the given radius rises to `height` above it."""
    return float(np.sqrt(8 * radius * height))


def _grid(width: float, height: float, edge: float) -> tuple[Array, Array, Array]:
    """Coordinates [V] and [V] of a centred grid and its triangles, counter-clockwise in (u, v)."""
    nu, nv = max(1, round(width / edge)), max(1, round(height / edge))
    u, v = np.meshgrid(np.linspace(-width / 2, width / 2, nu + 1), np.linspace(-height / 2, height / 2, nv + 1))
    index = np.arange(u.size).reshape(u.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return u.reshape(-1), v.reshape(-1), faces


def _join(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    vertices, faces, count = [], [], 0
    for piece, triangles in parts:
        vertices.append(piece)
        faces.append(triangles + count)
        count += len(piece)
    return np.concatenate(vertices), np.concatenate(faces)


@dataclass(frozen=True)
class TriangleMesh:
    """Any triangle mesh, open or closed, with flat faces."""

    vertices: Array
    """[V, 3] float64."""
    faces: Array
    """[F, 3], counter-clockwise outside."""

    @property
    def bound(self) -> float:
        return float(np.linalg.norm(self.vertices, axis=1).max())

    def intersect(self, origins: Array, directions: Array) -> Array:
        start, along = (torch.from_numpy(np.ascontiguousarray(rows, np.float64)) for rows in (origins, directions))
        t, _ = first_hits(start, along, *self._tensors(), near=EPS)
        return t.numpy().astype(origins.dtype)

    def surface(self, points: Array) -> tuple[Array, Array]:
        """Surface coordinates are the two world axes that a face looks along least: prints stand upright on it."""
        found = nearest(torch.from_numpy(np.ascontiguousarray(points, np.float64)), *self._tensors())
        corners = self.vertices[self.faces[found.faces.numpy()]]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        axis = np.abs(normals).argmax(1)
        rows, across, upwards = np.arange(len(points)), np.array([1, 0, 0])[axis], np.array([2, 2, 1])[axis]
        uv = np.stack([points[rows, across], points[rows, upwards]], 1)
        return normals.astype(points.dtype), uv.astype(np.float32)

    def tessellate(self, edge: float) -> tuple[Array, Array]:
        return self.vertices, self.faces

    def _tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.vertices), torch.from_numpy(np.ascontiguousarray(self.faces))
