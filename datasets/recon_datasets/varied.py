"""Scenes without number: furniture of random shapes, prints, light and cameras, each from a seed.

Two families that share no kind of mesh and no kind of print, so that what was learned on one is tested on the other:
`familiar` (boxes, balls, cylinders, rods and frusta in the prints of `patterns.py`) and `novel` (rings, pebbles, bent
sheets, beside boxes and cylinders, in the prints of `textures.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from recon_datasets import patterns as pt
from recon_datasets import textures as tx
from recon_datasets.scenes import Item, Light, SceneModel, about_z, facing, rod
from recon_datasets.shapes import Array, Box, Cylinder, Rectangle, Shape, Sheet, Sphere, TriangleMesh

Kind = Literal["familiar", "novel"]


def familiar(seed: int) -> SceneModel:
    """A scene to learn from."""
    return _scene(np.random.default_rng([seed, 11]), "familiar")


def novel(seed: int) -> SceneModel:
    """A scene to test on what was learned from `familiar` ones."""
    return _scene(np.random.default_rng([seed, 12]), "novel")


def _scene(random: np.random.Generator, kind: Kind) -> SceneModel:
    half = random.uniform(1.7, 3.2)
    top = random.uniform(0.4, 0.8) if random.random() < 0.5 else 0.0
    items = list(_room(random, kind, half))
    if top:
        side = random.uniform(0.4, 0.65)
        board: Shape = Box((side, side, 0.03)) if random.random() < 0.6 else Cylinder(side, 0.03)
        items.append(Item(board, _print(random, kind, 0.12), _turn(random), np.array([0, 0, top - 0.03])))
        items.append(
            Item(Cylinder(0.06, top / 2 - 0.03), _print(random, kind, 0.1), np.eye(3), np.array([0, 0, top / 2]))
        )
    spread = 0.5 if top else random.uniform(0.4, 0.9)
    for _ in range(random.integers(3, 9)):
        size = random.uniform(0.06, 0.22) * (1 if top else 1.6)
        items.append(_thing(random, kind, size, spread * random.uniform(-0.7, 0.7, 2), top))
    for _ in range(random.integers(0, 4) if kind == "familiar" else 0):
        (a, b), (c, d) = spread * random.uniform(-0.6, 0.6, (2, 2))
        end = (float(c), float(d), top + random.uniform(0.2, 0.6))
        items.append(rod((float(a), float(b), top), end, random.uniform(0.006, 0.02), _print(random, kind, 0.03)))
    start = random.uniform(-180, 180)
    return SceneModel(
        tuple(items), (0.0, 0.0, top + random.uniform(0.05, 0.2)), random.uniform(0.55, 0.75) * half,
        (random.uniform(0.1, 0.3), random.uniform(0.4, 0.9)), (start, start + random.uniform(50, 200)), half,
        light=_light(random),
    )  # fmt: skip


def _room(random: np.random.Generator, kind: Kind, half: float) -> list[Item]:
    """Floor and walls, each in a print of its own."""
    floor = Item(Rectangle((half, half)), _print(random, kind, 0.2), np.eye(3), np.zeros(3), casts_shadow=False)
    walls = [floor]
    for normal in [(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)]:
        position = -half * np.asarray(normal, float) + [0, 0, 1.5]
        paper = _print(random, kind, 0.35)
        walls.append(Item(Rectangle((half, 1.9)), paper, facing(normal), position, casts_shadow=False))
        if random.random() < 0.5:  # a picture, or a door
            width, height = random.uniform(0.15, 0.5), random.uniform(0.15, 0.6)
            along = random.uniform(-0.6, 0.6) * half * np.array([normal[1], normal[0], 0])
            place = -(half - 0.02) * np.asarray(normal, float) + along + [0, 0, random.uniform(0.5, 1.4)]
            walls.append(Item(Box((width, height, 0.02)), _print(random, kind, 0.15), facing(normal), place))
    return walls


def _thing(random: np.random.Generator, kind: Kind, size: float, place: Array, ground: float) -> Item:
    """Something of about `size` (half its height) that stands at `place` (x, y), sometimes on a base."""
    shapes: list[Callable[[], tuple[Shape, float]]]
    aspect = random.uniform(0.5, 1.5, 3)
    a, b, c = (float(value) for value in size * aspect)
    if kind == "familiar":
        shapes = [
            lambda: (Box((a, b, c)), c),
            lambda: (Sphere(c), c),
            lambda: (Cylinder(a, c), c),
            lambda: (_frustum(int(random.integers(3, 8)), 1.2 * a, b * random.uniform(0, 1.2), c), c),
        ]
    else:
        shapes = [
            lambda: (Box((a, b, c)), c),
            lambda: (Cylinder(a, c), c),
            lambda: (_ring(1.1 * size, 0.35 * c), 0.35 * c),
            lambda: (_pebble(a, b, c, random), c),
            lambda: (Sheet(1.2 * a, random.uniform(0.7, 1.4), b), 0.0),
        ]
    shape, rise = shapes[random.integers(len(shapes))]()
    height = ground + rise + (random.uniform(0, 0.25) if random.random() < 0.25 else 0.0)
    tilt = _turn(random)
    if random.random() < 0.2:
        tilt = tilt @ facing((float(random.normal(0, 0.5)), float(random.normal(0, 0.5)), 1.0))
    return Item(
        shape, _print(random, kind, 0.35 * size), tilt, np.array([*place, height]), True,
        float(random.choice([0, 0.2, 0.5])), mirror=0.25 if random.random() < 0.05 else 0.0,
    )  # fmt: skip


def _print(random: np.random.Generator, kind: Kind, size: float) -> tx.Texture:
    """A random print whose details measure about `size`, m."""
    a, b, c = ((float(red), float(green), float(blue)) for red, green, blue in _inks(random))
    size, seed = float(size * np.exp(random.normal(0, 0.4))), int(random.integers(1 << 20))
    if kind == "familiar":
        makers: list[Callable[[], tx.Texture]] = [
            lambda: pt.plasma(a, random.uniform(0.3, 1.2), 0.6 / size, seed),
            lambda: pt.cells(a, b, size, seed),
            lambda: pt.bricks(a, b, 1.5 * size, seed),
            lambda: pt.dots(a, b, size, seed),
            lambda: pt.weave(a, b, 0.5 * size, seed),
            lambda: pt.speckle(a, b, 0.8 / size, seed),
            lambda: tx.paint(a, seed),
        ]
    else:
        makers = [
            lambda: tx.marble(a, b, 0.7 / size, seed),
            lambda: tx.checker(a, b, size, seed),
            lambda: tx.planks(a, b, 0.7 * size, seed),
            lambda: tx.wallpaper(a, b, c, 1.2 * size, seed),
            lambda: tx.glyphs(a, b, 0.6 * size, seed),
            lambda: tx.stripes((a, b, c), 0.4 * size, seed),
            lambda: tx.paint(a, seed),
        ]
    return makers[random.integers(len(makers))]()


def _inks(random: np.random.Generator) -> Array:
    """Three colours [3, 3], mostly muted as in rooms, sometimes loud."""
    grey = random.uniform(0.1, 0.9, (3, 1))
    return np.clip(grey + random.normal(0, random.choice([0.05, 0.12, 0.3]), (3, 3)), 0.03, 0.95)


def _light(random: np.random.Generator) -> Light:
    direction = np.array([*random.normal(0, 0.6, 2), 1.0])
    x, y, z = (float(v) for v in direction / np.linalg.norm(direction))
    r, g, b = (float(v) for v in np.exp(random.normal(0, 0.06, 3)))
    return Light((x, y, z), float(random.uniform(0.2, 0.9)), float(random.uniform(0.3, 0.6)), (r, g, b))


def _turn(random: np.random.Generator) -> Array:
    return about_z(random.uniform(0, 360))


def _frustum(sides: int, bottom: float, top: float, half_height: float) -> TriangleMesh:
    """A pyramid of `sides` sides without its tip; radii at the bottom and at the top."""
    angles = 2 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    rims = [np.column_stack([r * circle, np.full(sides, z)]) for r, z in ((bottom, -half_height), (top, half_height))]
    vertices = np.concatenate([*rims, [[0, 0, -half_height], [0, 0, half_height]]])
    k = np.arange(sides)
    n, low, high = (k + 1) % sides, np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    faces = [(k, n, k + sides), (n, n + sides, k + sides), (low, n, k), (high, k + sides, n + sides)]
    return TriangleMesh(vertices, np.concatenate([np.stack(face, 1) for face in faces]))


def _ring(radius: float, thickness: float) -> TriangleMesh:
    """A torus that lies flat."""
    u, v = np.meshgrid(np.arange(32) * 2 * np.pi / 32, np.arange(14) * 2 * np.pi / 14, indexing="ij")
    away = radius + thickness * np.cos(v)
    points = np.stack([away * np.cos(u), away * np.sin(u), thickness * np.sin(v)], -1).reshape(-1, 3)
    return TriangleMesh(points, _wrapped(32, 14))


def _pebble(a: float, b: float, c: float, random: np.random.Generator) -> TriangleMesh:
    """An ellipsoid with half axes a, b, c and dents."""
    vertices, faces = Sphere(1.0).tessellate(0.2)
    u, v = np.arctan2(vertices[:, 1], vertices[:, 0]), np.arccos(np.clip(vertices[:, 2], -1, 1))
    phase = random.uniform(0, 6.28, 2)
    dent = 1 + 0.12 * np.sin(3 * u + phase[0]) * np.sin(2 * v + phase[1]) * np.sin(v)
    return TriangleMesh(vertices * dent[:, None] * [a, b, c], faces)


def _wrapped(rows: int, columns: int) -> Array:
    """Triangles [F, 3] of a grid whose rows and columns go round."""
    i, j = (index.reshape(-1) for index in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    n, m = (i + 1) % rows, (j + 1) % columns
    a, b, c, d = i * columns + j, n * columns + j, i * columns + m, n * columns + m
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


VARIED: dict[str, Callable[[int], SceneModel]] = {"familiar": familiar, "novel": novel}
"""Scenes by name."""
