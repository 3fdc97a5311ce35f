"""More procedural albedo, for scenes in great variety: see `varied.py`. Arguments as in `textures.py`."""

from __future__ import annotations

import numpy as np

from recon_datasets.textures import Array, Color, Texture, blend, fractal, lattice, noise


def plasma(ground: Color, strength: float, frequency: float, seed: int) -> Texture:
    """Every colour channel wanders on its own."""

    def texture(uv: Array) -> Array:
        channels = [fractal(uv, frequency, seed + 100 * k, 4) - 0.5 for k in range(3)]
        common = fractal(uv, 2.3 * frequency, seed + 300, 4) - 0.5
        return np.asarray(ground, np.float32) + strength * (np.stack(channels, 1) + common[:, None])

    return texture


def cells(a: Color, b: Color, size: float, seed: int) -> Texture:
    """Irregular stones between `a` and `b` with dark joints (Worley noise)."""

    def texture(uv: Array) -> Array:
        p = uv / size
        home = np.floor(p)
        best = np.full((2, len(uv)), np.inf)
        tone = np.zeros(len(uv), np.float32)
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                i, j = home[:, 0] + dx, home[:, 1] + dy
                away = np.hypot(i + lattice(i, j, seed) - p[:, 0], j + lattice(i, j, seed + 1) - p[:, 1])
                nearer = away < best[0]
                best[1] = np.where(nearer, best[0], np.minimum(best[1], away))
                best[0] = np.where(nearer, away, best[0])
                tone = np.where(nearer, lattice(i, j, seed + 2), tone)
        joint = np.clip((best[1] - best[0]) * 8, 0.25, 1).astype(np.float32)
        grain = 0.85 + 0.3 * fractal(uv, 4 / size, seed + 3)
        return blend(a, b, tone) * (joint * grain)[:, None]

    return texture


def bricks(stone: Color, mortar: Color, width: float, seed: int) -> Texture:
    """Rows of bricks, every second one shifted by half."""

    def texture(uv: Array) -> Array:
        row = np.floor(uv[:, 1] / (0.45 * width))
        x = uv[:, 0] / width + 0.5 * (row % 2)
        column = np.floor(x)
        tone = 0.65 + 0.6 * lattice(column, row, seed)
        inside = (np.abs(x - column - 0.5) < 0.46) & (np.abs(uv[:, 1] / (0.45 * width) - row - 0.5) < 0.42)
        rough = (0.8 + 0.4 * fractal(uv, 6 / width, seed + 1))[:, None]
        return np.where(inside[:, None], np.asarray(stone, np.float32) * tone[:, None], np.asarray(mortar)) * rough

    return texture


def dots(ground: Color, ink: Color, size: float, seed: int) -> Texture:
    """Round blots of many sizes at random places."""

    def texture(uv: Array) -> Array:
        color = np.tile(np.asarray(ground, np.float32), (len(uv), 1)) * (0.9 + 0.2 * noise(uv, 2 / size, seed))[:, None]
        for layer in range(2):
            p = uv / size * (1 + layer)
            cell = np.floor(p)
            i, j = cell.T
            center = 0.3 + 0.4 * np.stack([lattice(i, j, seed + 9 * layer), lattice(i, j, seed + 9 * layer + 1)], 1)
            radius = 0.1 + 0.3 * lattice(i, j, seed + 9 * layer + 2)
            shade = 0.5 + lattice(i, j, seed + 9 * layer + 3)
            inside = np.hypot(*(p - cell - center).T) < radius
            color = np.where(inside[:, None], np.asarray(ink, np.float32) * shade[:, None], color)
        return color

    return texture


def weave(a: Color, b: Color, size: float, seed: int) -> Texture:
    """Threads that cross over and under."""

    def texture(uv: Array) -> Array:
        p = uv / size
        cell = np.floor(p)
        over = (cell.sum(1) % 2).astype(np.float32)
        across = np.where(over > 0, p[:, 0] - cell[:, 0], p[:, 1] - cell[:, 1])
        round_ = np.sin(np.pi * across) ** 0.5
        tone = 0.8 + 0.4 * lattice(cell[:, 0], cell[:, 1], seed)
        return blend(a, b, over) * (round_ * tone)[:, None]

    return texture


def speckle(a: Color, b: Color, frequency: float, seed: int) -> Texture:
    """Sharp-edged islands, as on granite or a map."""

    def texture(uv: Array) -> Array:
        share = np.clip((fractal(uv, frequency, seed, 4) - 0.5) * 12 + 0.5, 0, 1)
        return blend(a, b, share) * (0.85 + 0.3 * noise(uv, 4 * frequency, seed + 5))[:, None]

    return texture
