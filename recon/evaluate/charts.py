"""Small pictures for the report: line charts as inline SVG, error maps, encoded images."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from torch import Tensor

# Black to pale yellow through violet and orange: perceptually even, readable in grey and by colour-blind people.
_HEAT = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ]
)
ERROR_SCALE = 0.25
"""Mean absolute colour error that the brightest colour of an error map stands for; the same in every report."""


def heat(values: np.ndarray) -> np.ndarray:
    """Colours [..., 3] uint8 of `values` in [0, 1], clipped."""
    position = np.clip(values, 0, 1) * (len(_HEAT) - 1)
    steps = np.arange(len(_HEAT))
    return np.stack([np.interp(position, steps, _HEAT[:, c]) for c in range(3)], -1).round().astype(np.uint8)


def error_map(rendered: Tensor, photo: Tensor) -> np.ndarray:
    """Mean absolute difference over the channels of two [H, W, 3] images as colours [H, W, 3] uint8."""
    return heat((rendered - photo).abs().mean(-1).numpy() / ERROR_SCALE)


def to_bytes(image: Tensor) -> np.ndarray:
    """[H, W, 3] in [0, 1] to uint8."""
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def data_uri(image: np.ndarray, max_side: int = 720, quality: int = 88) -> str:
    """`data:` address of an RGB uint8 image as JPEG, shrunk when a side exceeds `max_side` px."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((max_side, max_side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def heat_gradient() -> str:
    """CSS gradient of the error colours, for the legend."""
    return "linear-gradient(90deg, " + ", ".join("rgb({}, {}, {})".format(*color) for color in _HEAT) + ")"


def line_chart(title: str, x: Sequence[float], y: Sequence[float], unit: str = "", width: int = 340) -> str:
    """An SVG chart of one curve with its last value. Points that are no finite numbers are left out."""
    height, left, right, top, bottom = 170, 46, 10, 28, 22
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(points) < 2:
        return ""
    points = _thin(points, 400)
    x_low, x_high = points[0][0], points[-1][0]
    ticks = _ticks(min(b for _, b in points), max(b for _, b in points))
    y_low, y_high = ticks[0], ticks[-1]

    def px(a: float) -> float:
        return left + (a - x_low) / max(x_high - x_low, 1e-12) * (width - left - right)

    def py(b: float) -> float:
        return height - bottom - (b - y_low) / (y_high - y_low) * (height - top - bottom)

    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>'
        f'<text x="{left - 6}" y="{py(tick) + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>'
        for tick in ticks
    )
    path = " ".join(f"{px(a):.1f},{py(b):.1f}" for a, b in points)
    last = f"{_short(points[-1][1])}{' ' + unit if unit else ''}"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{left}" y="15">{escape(title)}</text>'
        f'<text class="last" x="{width - right}" y="15" text-anchor="end">{escape(last)}</text>{grid}'
        f'<text x="{left}" y="{height - 6}">{_short(x_low)}</text>'
        f'<text x="{width - right}" y="{height - 6}" text-anchor="end">{_short(x_high)} iterations</text>'
        f'<polyline points="{path}"/></svg>'
    )


def _thin(points: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """At most `count` points, evenly picked, the first and the last among them."""
    if len(points) <= count:
        return points
    return [points[round(i * (len(points) - 1) / (count - 1))] for i in range(count)]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that enclose [low, high]."""
    if high - low < 1e-12:
        high, low = high + max(abs(high), 1.0) * 0.5, low - max(abs(low), 1.0) * 0.5
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:.4g}"
