"""Procedural albedo: surface coordinates [N, 2] in scene units to sRGB-like colours [N, 3] in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Texture = Callable[[Array], Array]
Color = tuple[float, float, float]


def lattice(i: Array, j: Array, seed: int) -> Array:
    """Pseudo-random values in [0, 1) of integer cells."""
    with np.errstate(over="ignore"):
        h = i.astype(np.int64).astype(np.uint32) * np.uint32(374761393) + j.astype(np.int64).astype(
            np.uint32
        ) * np.uint32(668265263)
        h = h + np.uint32(seed * 362437 & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    return ((h ^ (h >> np.uint32(16))) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def noise(uv: Array, frequency: float, seed: int) -> Array:
    """Smooth value noise in [0, 1]."""
    p = uv * frequency
    cell = np.floor(p)
    f = (p - cell).astype(np.float32)
    f = f * f * (3 - 2 * f)
    i, j = cell[:, 0], cell[:, 1]
    low = lattice(i, j, seed) * (1 - f[:, 0]) + lattice(i + 1, j, seed) * f[:, 0]
    high = lattice(i, j + 1, seed) * (1 - f[:, 0]) + lattice(i + 1, j + 1, seed) * f[:, 0]
    return low * (1 - f[:, 1]) + high * f[:, 1]


def fractal(uv: Array, frequency: float, seed: int, octaves: int = 3) -> Array:
    """Octaves of noise, each twice as fine and half as strong, in [0, 1]."""
    total = np.zeros(len(uv), np.float32)
    for k in range(octaves):
        total += noise(uv, frequency * 2**k, seed + k) * 0.5 ** (k + 1)
    return total / (1 - 0.5**octaves)


def blend(a: Color, b: Color, share: Array) -> Array:
    """Colours between a (share 0) and b (share 1)."""
    share = share[:, None].astype(np.float32)
    return np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share


def marble(a: Color, b: Color, frequency: float, seed: int) -> Texture:
    """Veins."""

    def texture(uv: Array) -> Array:
        wave = np.sin(uv[:, 0] * frequency * 3 + 9 * fractal(uv, frequency, seed, 4))
        return blend(a, b, 0.5 + 0.5 * wave)

    return texture


def checker(a: Color, b: Color, size: float, seed: int) -> Texture:
    """Squares with a grain of their own."""

    def texture(uv: Array) -> Array:
        cell = np.floor(uv / size)
        odd = (cell.sum(1) % 2).astype(np.float32)
        tone = 0.2 * (lattice(cell[:, 0], cell[:, 1], seed) - 0.5)
        grain = 0.75 + 0.5 * (fractal(uv, 3 / size, seed) - 0.5) + tone
        return blend(a, b, odd) * grain[:, None]

    return texture


def planks(a: Color, b: Color, width: float, seed: int) -> Texture:
    """Wooden boards along u with dark gaps."""

    def texture(uv: Array) -> Array:
        row = np.floor(uv[:, 1] / width)
        shift = lattice(row, row * 0, seed) * 3
        board = np.floor((uv[:, 0] + shift) / (6 * width))
        tone = 0.7 + 0.5 * lattice(board, row, seed + 1)
        stretched = np.stack([uv[:, 0] * 0.15 + shift, uv[:, 1]], 1)
        color = blend(a, b, fractal(stretched, 8 / width, seed + 2, 3)) * tone[:, None]
        gap = (np.abs(uv[:, 1] / width - row - 0.5) > 0.47) | (
            np.abs((uv[:, 0] + shift) / (6 * width) - board - 0.5) > 0.494
        )
        return np.where(gap[:, None], color * 0.35, color)

    return texture


def wallpaper(ground: Color, ink: Color, accent: Color, size: float, seed: int) -> Texture:
    """Scattered blots of two inks on a mottled ground."""

    def texture(uv: Array) -> Array:
        color = blend(ground, tuple(0.85 * c for c in ground), fractal(uv, 6 / size, seed))  # type: ignore[arg-type]
        for layer, (paint, scale) in enumerate(((ink, 1.0), (accent, 0.55))):
            cell = np.floor(uv / (size * scale))
            i, j = cell.T
            center = np.stack([lattice(i, j, seed + 10 + layer), lattice(i, j, seed + 20 + layer)], 1) * 0.4 + 0.3
            offset = uv / (size * scale) - cell - center
            angle = np.arctan2(offset[:, 1], offset[:, 0]) + 6.28 * lattice(i, j, seed + 30)
            petals = 3 + np.floor(3 * lattice(i, j, seed + 40 + layer))
            radius = 0.27 * (0.65 + 0.35 * np.cos(petals * angle))
            inside = np.hypot(offset[:, 0], offset[:, 1]) < radius
            shade = 0.7 + 0.6 * fractal(uv, 10 / size, seed + 50)
            color = np.where(inside[:, None], np.asarray(paint, np.float32) * shade[:, None], color)
        return color

    return texture


def glyphs(paper: Color, ink: Color, size: float, seed: int) -> Texture:
    """Lines of symbols on a 5 x 7 raster, like print."""

    def texture(uv: Array) -> Array:
        cell = np.floor(uv / (size * np.array([0.7, 1.0], np.float32)))
        local = uv / (size * np.array([0.7, 1.0], np.float32)) - cell
        pixel = np.floor(local * np.array([7, 10], np.float32))
        inner = (pixel[:, 0] < 5) & (pixel[:, 1] < 7)
        code = cell[:, 0] * 131 + cell[:, 1] * 17
        half = np.minimum(pixel[:, 0], 4 - pixel[:, 0])
        mirrored = np.where(lattice(cell[:, 0], cell[:, 1], seed) < 0.5, half, pixel[:, 0])
        on = (
            inner
            & (lattice(code * 5 + mirrored, pixel[:, 1], seed + 1) < 0.5)
            & (lattice(cell[:, 0], cell[:, 1], seed + 2) < 0.85)
        )
        ground = blend(paper, tuple(0.9 * c for c in paper), fractal(uv, 2 / size, seed + 3))  # type: ignore[arg-type]
        return np.where(on[:, None], np.asarray(ink, np.float32), ground)

    return texture


def stripes(colors: tuple[Color, ...], width: float, seed: int) -> Texture:
    """Diagonal bands."""

    def texture(uv: Array) -> Array:
        band = np.floor((uv[:, 0] * 0.6 + uv[:, 1]) / width).astype(np.int64) % len(colors)
        return np.asarray(colors, np.float32)[band] * (0.75 + 0.5 * fractal(uv, 2.5 / width, seed))[:, None]

    return texture


def tiles(a: Color, b: Color, size: float) -> Texture:
    """Crossed diamonds that repeat exactly every `size`, in both directions."""

    def texture(uv: Array) -> Array:
        local = np.abs(uv / size - np.floor(uv / size) - 0.5)
        rings = np.floor(local.sum(1) * 8) % 2
        return blend(a, b, np.where(local.min(1) < 0.06, 0.5, rings))

    return texture


def paint(color: Color, seed: int) -> Texture:
    """One colour, two percent of grain."""

    def texture(uv: Array) -> Array:
        return np.asarray(color, np.float32) * (0.98 + 0.04 * fractal(uv, 40, seed))[:, None]

    return texture
