"""The visual hull of cut-out photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from turntable import Turntable, make_turntable

from recon.io.images import Image
from recon.poses.dense import DenseConfig, DenseInput, choose_dense, make_source
from recon.poses.dense.hull import HullConfig, HullSource
from recon.scene import Points


def given(ring: Turntable, images: tuple[Image, ...] | None = None, points: Points | None = None) -> DenseInput:
    return DenseInput(ring.views, images or ring.images, points, 0, lambda done, total: None)


def distances(points: Points, ring: Turntable) -> tuple[float, float]:
    """Means from the points to the true surface and back, in diagonals of the object."""
    a, b = points.positions.numpy(), ring.surface.numpy()
    return tuple(float(cKDTree(to).query(of)[0].mean()) / ring.diagonal for of, to in ((a, b), (b, a)))  # type: ignore[return-value]


@pytest.mark.parametrize(("count", "off", "away"), [(8, 0.02, 0.015), (12, 0.015, 0.012)])
def test_the_hull_is_near_the_true_surface(count: int, off: float, away: float) -> None:
    ring = make_turntable(count)
    points = HullSource(HullConfig(resolution=96)).points(given(ring))
    accuracy, completeness = distances(points, ring)
    # Outlines leave hollows and what lies between the table and the ball filled, whatever the resolution.
    assert accuracy < off and completeness < away


def test_points_have_the_colours_normals_and_sizes_of_the_surface() -> None:
    ring = make_turntable(12)
    points = HullSource(HullConfig(resolution=96)).points(given(ring))
    assert points.normals is not None and points.scales is not None
    side = 2 * float(points.scales.median())
    assert 0.5 < side * 96 / ring.diagonal < 1.2
    middle = ring.surface.mean(0)
    assert float(((points.positions - middle) * points.normals).sum(1).gt(0).double().mean()) > 0.8, "outwards"
    # What a photo shows where a point lies that nothing hides is its colour, give or take the view.
    view, image = ring.views[3], ring.images[3]
    pixels, depths, inside = view.project(points.positions)
    facing = inside & (((view.center - points.positions) * points.normals).sum(1) > 0.7 * depths)
    nearest = facing & (depths < depths[facing].quantile(0.3))
    x, y = pixels[nearest].long().unbind(1)
    assert float((torch.from_numpy(image.rgb)[y, x] - points.colors[nearest]).abs().mean()) < 0.12


def test_one_mask_with_a_hole_does_not_cut_the_object() -> None:
    ring = make_turntable(8)
    alpha = ring.images[2].alpha
    assert alpha is not None
    rows = np.nonzero(alpha.any(1))[0]
    half = alpha.copy()
    half[: (rows[0] + rows[-1]) // 2] = 0
    spoiled = tuple(replace(image, alpha=half) if k == 2 else image for k, image in enumerate(ring.images))
    forgiving, strict = (
        HullSource(HullConfig(resolution=64, missing=missing)).points(given(ring, spoiled)) for missing in (1, 0)
    )
    assert distances(forgiving, ring)[1] < 0.02 < 0.03 < distances(strict, ring)[1]


def test_photos_without_outlines_and_outlines_apart_give_nothing() -> None:
    ring = make_turntable(8)
    whole = tuple(replace(image, alpha=None) for image in ring.images)
    assert len(HullSource(HullConfig()).points(given(ring, whole)).positions) == 0
    corner = np.zeros((120, 160), np.float32)
    corner[:6, :6] = 1
    apart = tuple(replace(image, alpha=np.rot90(corner, 2 * (k % 2)).copy()) for k, image in enumerate(ring.images))
    assert len(HullSource(HullConfig(resolution=32)).points(given(ring, apart)).positions) < 50


def test_the_hull_is_chosen_for_cut_outs_with_few_matches() -> None:
    ring = make_turntable(8)
    many = Points(torch.zeros(2000, 3), torch.zeros(2000, 3))
    whole = tuple(replace(image, alpha=None) for image in ring.images)
    rims = replace(given(ring), cut_out=False)  # alpha is there, and undistortion made it
    cases = [
        (given(ring), "hull"), (given(ring, points=many), "stereo"), (given(ring, whole), "stereo"), (rims, "stereo")
    ]  # fmt: skip
    for one, wanted in cases:
        method, why = choose_dense(DenseConfig(), one)
        assert method == wanted and why
    assert choose_dense(DenseConfig(method="none"), given(ring))[0] == "none"
    assert isinstance(make_source(DenseConfig(), "hull"), HullSource)
