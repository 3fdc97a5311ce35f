"""The scenes: which shapes stand where, what they look like, and how the camera moves.

World: z up, metres. Every scene closes the view with floor and walls, so no pixel is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recon_datasets import textures as tx
from recon_datasets.shapes import Array, Box, Cylinder, Rectangle, Shape, Sheet, Sphere


@dataclass(frozen=True)
class Light:
    """The sun, and what comes from everywhere."""

    direction: tuple[float, float, float] = (-0.45, -0.35, 0.82)
    """Towards the sun, world; of any length."""
    sun: float = 0.75
    """Strength of the direct light."""
    ambient: float = 0.42
    """Strength of the other."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour of both."""


@dataclass(frozen=True)
class Item:
    """A shape in the world."""

    shape: Shape
    texture: tx.Texture
    rotation: Array
    """[3, 3] local to world."""
    position: Array
    """[3] world."""
    is_object: bool = False
    """Part of the masked object."""
    shine: float = 0.0
    """Strength of the highlight."""
    casts_shadow: bool = True
    mirror: float = 0.0
    """Share of what it shows that is a mirror image of the rest."""
    motion: tuple[float, float, float] | None = None
    """Way that it goes from the first to the last photo, world, m; None for what stays. No part of the truth."""


@dataclass(frozen=True)
class SceneModel:
    """Geometry, and the arc that cameras stand on."""

    items: tuple[Item, ...]
    target: tuple[float, float, float]
    """What cameras look at."""
    radius: float
    """Distance of the cameras from the target, m."""
    heights: tuple[float, float]
    """Lowest and highest camera above the target, m."""
    arc_deg: tuple[float, float]
    """Azimuths that the cameras sweep."""
    room: float = float("inf")
    """Half the side of the room around the origin, m."""
    exposure: float = 0.0
    """Standard deviation of the training photos' gain, as a natural logarithm; a third of it for each colour."""
    light: Light = Light()

    def at(self, share: float | None) -> SceneModel:
        """The scene when `share` of the photos is taken, in [0, 1]; None: what stays alone."""
        still = tuple(item for item in self.items if item.motion is None)
        if share is None or len(still) == len(self.items):
            return replace(self, items=still)
        moved = (
            replace(item, position=item.position + share * np.asarray(item.motion))
            for item in self.items
            if item.motion is not None
        )
        return replace(self, items=(*still, *moved))


ROOM = 2.3
"""Half the side of the rooms that cameras walk through, m."""


def about_z(degrees: float) -> Array:
    """Rotation about the vertical."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def facing(normal: tuple[float, float, float], up: tuple[float, float, float] = (0, 0, 1)) -> Array:
    """Rotation that turns local z to `normal` and keeps local y as upright as possible."""
    z = np.asarray(normal, float) / np.linalg.norm(normal)
    reference = np.asarray(up, float) if abs(float(z @ np.asarray(up, float))) < 0.99 else np.array([0, 1.0, 0])
    x = np.cross(reference, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], 1)


def rod(start: tuple[float, float, float], end: tuple[float, float, float], radius: float, texture: tx.Texture) -> Item:
    """A thin cylinder between two points."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    axis = tuple((b - a) / length)
    return Item(Cylinder(radius, length / 2), texture, facing(axis), (a + b) / 2, True, 0.3)  # type: ignore[arg-type]


def room(half: float, seed: int, floor: tx.Texture) -> tuple[Item, ...]:
    """Floor and four walls around the origin."""
    walls = []
    inks = [
        ((0.86, 0.82, 0.74), (0.55, 0.2, 0.22), (0.25, 0.4, 0.3)),
        ((0.75, 0.8, 0.84), (0.2, 0.3, 0.5), (0.7, 0.5, 0.25)),
    ]
    for k, normal in enumerate([(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)]):
        paper = tx.wallpaper(*inks[k % 2], 0.42, seed + 7 * k)
        position = -half * np.asarray(normal, float) + [0, 0, 1.5]
        walls.append(Item(Rectangle((half, 1.9)), paper, facing(normal), position, casts_shadow=False))  # type: ignore[arg-type]
    ground = Item(Rectangle((half, half)), floor, np.eye(3), np.zeros(3), casts_shadow=False)
    return (ground, *walls)


def table(seed: int) -> SceneModel:
    """An object with sharp edges, thin rods and fine print on a table."""
    top = 0.72
    cloth = tx.checker((0.62, 0.16, 0.14), (0.88, 0.84, 0.74), 0.085, seed)
    wood = tx.planks((0.36, 0.21, 0.11), (0.55, 0.36, 0.2), 0.09, seed + 1)
    brass = tx.stripes(((0.75, 0.6, 0.25), (0.45, 0.33, 0.12)), 0.02, seed + 2)
    items = [
        *room(ROOM, seed + 3, tx.planks((0.4, 0.29, 0.18), (0.62, 0.47, 0.3), 0.16, seed + 4)),
        Item(Box((0.55, 0.55, 0.025)), cloth, about_z(12), np.array([0, 0, top - 0.025])),
        Item(
            Box((0.16, 0.11, 0.09)),
            tx.glyphs((0.9, 0.87, 0.78), (0.1, 0.1, 0.16), 0.036, seed + 5),
            about_z(28),
            np.array([0, 0, top + 0.09]),
            True,
            0.15,
        ),
        Item(
            Box((0.075, 0.075, 0.06)),
            tx.marble((0.15, 0.33, 0.4), (0.85, 0.88, 0.84), 9, seed + 6),
            about_z(-10),
            np.array([-0.03, 0.01, top + 0.24]),
            True,
            0.3,
        ),
        Item(
            Sphere(0.075),
            tx.marble((0.7, 0.3, 0.12), (0.95, 0.8, 0.45), 8, seed + 7),
            about_z(70),
            np.array([0.27, -0.14, top + 0.075]),
            True,
            0.5,
        ),
        Item(
            Cylinder(0.06, 0.075),
            tx.stripes(((0.15, 0.35, 0.28), (0.9, 0.85, 0.7), (0.75, 0.35, 0.2)), 0.03, seed + 8),
            about_z(0),
            np.array([-0.26, -0.17, top + 0.075]),
            True,
            0.25,
        ),
        rod((0.2, 0.13, top), (0.06, 0.02, top + 0.42), 0.007, brass),
        rod((0.17, -0.08, top), (0.06, 0.02, top + 0.42), 0.007, brass),
        rod((-0.2, 0.12, top), (0.06, 0.02, top + 0.42), 0.007, brass),
        *(
            Item(Box((0.03, 0.03, 0.335)), wood, about_z(12), about_z(12) @ np.array([x, y, 0.335]))
            for x in (-0.48, 0.48)
            for y in (-0.48, 0.48)
        ),
    ]
    return SceneModel(tuple(items), (0.0, 0.0, top + 0.12), 1.15, (0.25, 0.75), (-160.0, 20.0), ROOM)


def corner(seed: int) -> SceneModel:
    """A corner of a room with boxes, a pole and pictures on the walls."""
    half = 1.8
    frame_a = tx.glyphs((0.82, 0.74, 0.5), (0.45, 0.12, 0.1), 0.07, seed + 9)
    frame_b = tx.marble((0.2, 0.25, 0.5), (0.9, 0.85, 0.6), 4, seed + 10)
    items = [
        *room(half, seed, tx.checker((0.32, 0.34, 0.38), (0.78, 0.76, 0.7), 0.22, seed + 1)),
        Item(Box((0.03, 0.36, 0.26)), frame_a, np.eye(3), np.array([half - 0.03, -0.1, 1.25])),
        Item(Box((0.4, 0.03, 0.3)), frame_b, np.eye(3), np.array([0.2, half - 0.03, 1.3])),
        Item(
            Box((0.3, 0.26, 0.4)),
            tx.planks((0.3, 0.18, 0.1), (0.6, 0.4, 0.22), 0.07, seed + 2),
            about_z(8),
            np.array([1.2, 1.25, 0.4]),
            True,
            0.1,
        ),
        Item(
            Box((0.19, 0.19, 0.19)),
            tx.glyphs((0.85, 0.85, 0.8), (0.1, 0.25, 0.4), 0.06, seed + 3),
            about_z(33),
            np.array([1.2, 1.22, 0.99]),
            True,
            0.1,
        ),
        Item(
            Box((0.25, 0.25, 0.22)),
            tx.stripes(((0.6, 0.15, 0.15), (0.9, 0.8, 0.5)), 0.07, seed + 4),
            about_z(-20),
            np.array([0.55, 1.15, 0.22]),
            True,
        ),
        Item(
            Cylinder(0.02, 0.75),
            tx.stripes(((0.2, 0.2, 0.22), (0.7, 0.7, 0.72)), 0.06, seed + 5),
            np.eye(3),
            np.array([1.35, 0.45, 0.75]),
            True,
            0.4,
        ),
        Item(
            Sphere(0.2),
            tx.marble((0.85, 0.75, 0.5), (0.45, 0.2, 0.1), 4, seed + 6),
            np.eye(3),
            np.array([1.0, 0.35, 0.2]),
            True,
            0.4,
        ),
    ]
    return SceneModel(tuple(items), (1.05, 1.05, 0.65), 2.0, (0.2, 0.75), (-168.0, -102.0), half)


def sheet(seed: int) -> SceneModel:
    """A bent open sheet, printed on both sides, above the ground."""
    paper = tx.glyphs((0.93, 0.9, 0.8), (0.16, 0.12, 0.3), 0.06, seed)
    items = [
        *room(ROOM, seed + 1, tx.wallpaper((0.55, 0.6, 0.5), (0.25, 0.3, 0.2), (0.75, 0.65, 0.4), 0.3, seed + 2)),
        Item(Sheet(0.42, 1.15, 0.34), paper, about_z(25) @ facing((0.25, 0, 1)), np.array([0, 0, 0.28]), True, 0.1),
        Item(
            Cylinder(0.05, 0.1),
            tx.stripes(((0.7, 0.3, 0.2), (0.9, 0.9, 0.8)), 0.03, seed + 3),
            np.eye(3),
            np.array([0.55, -0.4, 0.1]),
        ),
        Item(
            Box((0.12, 0.08, 0.1)),
            tx.marble((0.2, 0.3, 0.3), (0.8, 0.85, 0.7), 6, seed + 4),
            about_z(40),
            np.array([-0.5, -0.45, 0.1]),
        ),
    ]
    return SceneModel(tuple(items), (0.0, 0.0, 0.42), 1.35, (0.15, 0.8), (-150.0, 30.0), ROOM)


def sphere(seed: int) -> SceneModel:
    """A ball on the floor: every depth and normal of it has a closed form."""
    items = [
        *room(ROOM, seed, tx.checker((0.3, 0.33, 0.36), (0.8, 0.78, 0.72), 0.2, seed + 1)),
        Item(
            Sphere(0.4),
            tx.checker((0.15, 0.35, 0.5), (0.9, 0.8, 0.6), 0.1, seed + 2),
            np.eye(3),
            np.array([0, 0, 0.4]),
            True,
            0.2,
        ),
    ]
    return SceneModel(tuple(items), (0.0, 0.0, 0.4), 1.6, (0.15, 0.8), (-90.0, 90.0), ROOM)


PLAIN: dict[str, Callable[[int], SceneModel]] = {"table": table, "corner": corner, "sheet": sheet, "sphere": sphere}
"""Scenes by name; each is made from a seed."""
