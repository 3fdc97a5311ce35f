"""Depths of single photos as a dense start: alignment in closed form, gaps filled, nothing put before what is seen."""

from __future__ import annotations

import pytest
import torch
from test_dense_start import truth
from textured_room import Room, make_room
from torch import Tensor

from recon.poses.dense import DenseInput, FillConfig
from recon.poses.dense.align import AlignConfig, align
from recon.poses.dense.monocular import MonocularSource
from recon.priors import Depth
from recon.scene import Points, View


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(count=3)


def wall_points(count: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    points = (torch.rand(count, 3, generator=g, dtype=torch.float64) - 0.5) * 3
    points[:, 2] = 0
    return points


class Oracle:
    """True depths in a domain and a scale of its own, photo after photo; `spoil` may change them."""

    def __init__(self, room: Room, kind: str = "inverse", bump: int | None = None, nonsense: bool = False) -> None:
        self.views = list(room.scene.views)
        self.kind, self.bump, self.nonsense, self.asked = kind, bump, nonsense, 0

    def depth(self, photo: Tensor) -> Depth:
        number, self.asked = self.asked, self.asked + 1
        z = truth(self.views[number]).float().clamp(0.1, 50)
        if number == self.bump:
            z[120:200, 160:320] *= 0.5
        if self.nonsense:
            z = 1 + torch.rand(z.shape, generator=torch.Generator().manual_seed(number))
        values = 7 / z - 2 if self.kind == "inverse" else 0.3 * z + 4
        return Depth(values, self.kind)  # type: ignore[arg-type]


def given(room: Room, points: Tensor | None, warnings: list[str] | None = None) -> DenseInput:
    views = room.scene.views
    sparse = None if points is None else Points(points.float(), torch.zeros(len(points), 3))
    warn = (lambda message: None) if warnings is None else warnings.append
    return DenseInput(views, [room.images[view.name] for view in views], sparse, 0, lambda done, total: None, warn)


@pytest.mark.parametrize("kind", ["inverse", "relative", "metric"])
def test_scale_and_shift_are_found_among_outliers(room: Room, kind: str) -> None:
    view = room.scene.views[0]
    z = truth(view).float().clamp(0.1, 50)
    points = wall_points(60)
    points[:18, 2] -= 0.6  # in front of the wall, where the network is wrong then
    found = align(Depth(3 / z - 0.2 if kind == "inverse" else 0.25 * z - 1, kind), view, points, AlignConfig(), 0)  # type: ignore[arg-type]
    assert found is not None and 0.5 < found.agreeing < 0.95
    shown = found.depth > 0
    assert float(shown.double().mean()) > 0.9
    assert float(((found.depth - z.double()).abs() / z)[shown].max()) < 0.01


@pytest.mark.parametrize(("points", "nonsense"), [(60, True), (5, False)])
def test_what_does_not_agree_or_has_nothing_to_agree_with_is_not_used(room: Room, points: int, nonsense: bool) -> None:
    warnings: list[str] = []
    source = MonocularSource(Oracle(room, nonsense=nonsense), FillConfig(), None)
    at_all_depths = wall_points(points) + torch.linspace(-1, 1, points)[:, None] * torch.tensor([0, 0, 1.0])
    found = source.points(given(room, at_all_depths, warnings))
    assert len(found.positions) == 0 and len(warnings) == 3 and "0.png" in warnings[0]


@pytest.mark.parametrize("kind", ["inverse", "relative"])
def test_points_lie_on_the_wall_with_its_normal_size_and_colour(room: Room, kind: str) -> None:
    every = FillConfig(max_points=10**6)
    found = MonocularSource(Oracle(room, kind), every, None).points(given(room, wall_points(60)))
    assert found.normals is not None and found.scales is not None
    assert len(found.positions) > 1000
    assert float(found.positions[:, 2].abs().max()) < 0.03  # one per cent of the distance
    assert float(found.normals[:, 2].max()) < -0.99  # cameras stand at negative z
    assert float(found.scales.median()) == pytest.approx(0.5 * 3 / 135, rel=0.2)  # half a pixel of a third of the size
    again = MonocularSource(Oracle(room, kind), every, None).points(given(room, wall_points(60)))
    assert torch.equal(again.positions, found.positions)


class Half:
    """A base that has the wall's left half."""

    def points(self, given: DenseInput) -> Points:
        steps = torch.linspace(-2, 0, 150), torch.linspace(-2, 2, 300)
        x, y = torch.meshgrid(*steps, indexing="ij")
        positions = torch.stack([x.flatten(), y.flatten(), torch.zeros(x.numel())], -1)
        n = len(positions)
        return Points(positions, torch.zeros(n, 3), torch.tensor([[0.0, 0, -1]]).repeat(n, 1), torch.full((n,), 0.005))


def test_only_gaps_are_filled_and_points_are_thinned(room: Room) -> None:
    base = len(Half().points(given(room, None)).positions)
    found = MonocularSource(Oracle(room), FillConfig(), Half()).points(given(room, None))
    added = found.positions[base:]
    on_the_base = (added[:, 0] < -0.05) & (added[:, 0] > -1.9) & (added[:, 1].abs() < 1.9)
    assert len(added) > 500 and not bool(on_the_base.any())
    few = MonocularSource(Oracle(room), FillConfig(max_points=100), Half()).points(given(room, None))
    assert len(few.positions) == base + 100
    assert few.scales is not None and found.scales is not None
    assert float(few.scales[base:].mean()) > 2 * float(found.scales[base:].mean())


def test_nothing_is_put_where_another_photo_sees_through(room: Room) -> None:
    found = MonocularSource(Oracle(room, bump=1), FillConfig(), None).points(given(room, wall_points(60)))
    assert float(found.positions[:, 2].min()) > -0.1  # the bump would stand 1.5 before the wall


def test_one_photo_alone_fills_what_it_shows(room: Room) -> None:
    view: View = room.scene.views[0]
    one = DenseInput([view], [room.images[view.name]], Points(wall_points(60).float(), torch.zeros(60, 3)), 0,
                     lambda done, total: None, print)  # fmt: skip
    assert len(MonocularSource(Oracle(room), FillConfig(), None).points(one).positions) > 1000
