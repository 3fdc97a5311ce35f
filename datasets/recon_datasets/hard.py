"""The table with one difficulty at a time: what few photos and matching go wrong on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recon_datasets import textures as tx
from recon_datasets.scenes import Item, SceneModel, about_z, rod, table
from recon_datasets.shapes import Box, Sphere

TOP = 0.72
"""Height of the table, m."""


def specular(seed: int) -> SceneModel:
    """What stands on the table mirrors the room, and the table does a little: what is seen there lies elsewhere."""
    base = table(seed)
    mirrors = {True: 0.45, False: 0.0}
    items = [replace(item, mirror=mirrors[item.is_object], shine=2 * item.shine) for item in base.items]
    return replace(base, items=tuple(replace(one, mirror=0.2) if _is_top(one) else one for one in items))


def repeated(seed: int) -> SceneModel:
    """Floor, walls and cloth repeat without end and without a difference: matches are right but for a period."""
    base = table(seed)
    tiles = tx.tiles((0.82, 0.8, 0.74), (0.25, 0.35, 0.5), 0.2)
    cloth = tx.tiles((0.88, 0.84, 0.74), (0.62, 0.16, 0.14), 0.085)
    items = [item if item.casts_shadow else replace(item, texture=tiles) for item in base.items]
    return replace(base, items=tuple(replace(one, texture=cloth) if _is_top(one) else one for one in items))


def bare(seed: int) -> SceneModel:
    """Walls, table and boxes in one colour each, but for the grain of paint: nothing to match but edges."""
    base = table(seed)
    random = np.random.default_rng([seed, 3])
    colors = random.uniform(0.25, 0.85, (len(base.items), 3))
    items = tuple(
        replace(item, texture=tx.paint((float(r), float(g), float(b)), seed + k))
        for k, (item, (r, g, b)) in enumerate(zip(base.items, colors, strict=True))
    )
    return replace(base, items=items)


def thin(seed: int) -> SceneModel:
    """A cage of wires of 5 mm around a ball: about two pixels wide, and mostly void between them."""
    wire = tx.stripes(((0.15, 0.15, 0.17), (0.55, 0.5, 0.3)), 0.03, seed)
    half, height = 0.26, 0.44
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    rods = []
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        rods += [rod((ax, ay, TOP + z), (bx, by, TOP + z), 0.0025, wire) for z in np.linspace(0.03, height, 4)]
        for share in (0.0, 0.25, 0.5, 0.75):
            x, y = ax + share * (bx - ax), ay + share * (by - ay)
            rods.append(rod((x, y, TOP), (x, y, TOP + height), 0.0025, wire))
    ball = Item(
        Sphere(0.12), tx.marble((0.15, 0.33, 0.4), (0.9, 0.85, 0.7), 8, seed + 1), np.eye(3),
        np.array([0, 0, TOP + 0.12]), True, 0.3,
    )  # fmt: skip
    base = table(seed)
    scenery = tuple(item for item in base.items if not item.is_object)
    return replace(base, items=(*scenery, ball, *rods))


def exposure(seed: int) -> SceneModel:
    """Every training photo is brighter or darker and of another tint; the held-out ones are not."""
    return replace(table(seed), exposure=0.35)


def moving(seed: int) -> SceneModel:
    """A box wanders over the table while the photos are taken; it is not there in the held-out ones."""
    base = table(seed)
    box = Item(
        Box((0.06, 0.06, 0.08)), tx.glyphs((0.85, 0.6, 0.2), (0.1, 0.2, 0.1), 0.04, seed + 20), about_z(15),
        np.array([-0.4, -0.42, TOP + 0.08]), motion=(0.75, 0.08, 0.0),
    )  # fmt: skip
    return replace(base, items=(*base.items, box))


def _is_top(item: Item) -> bool:
    return isinstance(item.shape, Box) and item.shape.half[0] > 0.5 and not item.is_object


HARD: dict[str, Callable[[int], SceneModel]] = {
    "specular": specular, "repeated": repeated, "bare": bare, "thin": thin, "exposure": exposure, "moving": moving,
}  # fmt: skip
"""Scenes by name."""
