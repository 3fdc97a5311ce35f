"""Pairs that cost nothing: smooth pictures, damaged, whose photos show the truth in places."""

from __future__ import annotations

import numpy as np

from recon.learn.pairs import Pairs

SIDE = 24


def damaged(seed: int, count: int = 3, photos: int = 3) -> Pairs:
    """Stripes with a grey veil over a part of the render; the first photo shows three quarters of the truth."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    layers, truths = [], []
    for _ in range(count):
        phase, speed = random.uniform(0, 6.28, (3, 1, 1)), random.uniform(3, 9, (3, 1, 1))
        truth = 0.5 + 0.4 * np.sin(phase + speed * (x + random.uniform(-1, 1) * y))
        veil = (x > 0.5) * 0.6
        render = truth * (1 - veil) + 0.5 * veil
        seen = (y < 0.75).astype(float)
        photo = np.where(seen > 0, truth, render)
        layers.append(np.concatenate([render, [1 - veil, 1 - veil], photo, [seen], render, [0 * seen]]))
        truths.append(truth)
    stack = (np.stack(layers) * 255).astype(np.uint8)
    depth = np.ones((count, SIDE, SIDE), np.float16)
    return Pairs(stack, depth, (np.stack(truths) * 255).astype(np.uint8), np.ones(count, np.float32), photos)
