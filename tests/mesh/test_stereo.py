"""Stereo on the splats' depths: what photos confirm is put right, what they cannot tell stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from seen_shapes import ball, bent_sheet, photograph
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.clean import face_areas
from recon.mesh.field import FieldConfig, bounds, start_field
from recon.mesh.orient import oriented
from recon.mesh.space import Space
from recon.mesh.stereo import SettleConfig, settled
from recon.mesh.views import SurfaceView
from recon.mesh.voxels import VoxelGrid


def painted(views: Sequence[SurfaceView]) -> list[SurfaceView]:
    """With a texture of waves in several directions that stays put on the surface."""
    waves = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 30
    out = []
    for view in views:
        wave = torch.sin(view.points() @ waves.T + torch.arange(12)).reshape(view.height, view.width, 3, 4).sum(-1)
        out.append(replace(view, photo=(0.5 + wave / 8).clamp(0, 1) * (view.depth > 0)[..., None]))
    return out


def away(views: Sequence[SurfaceView], truth: Sequence[SurfaceView]) -> Tensor:
    return torch.cat([(a.depth / b.depth - 1)[b.depth > 0] for a, b in zip(views, truth, strict=True)]).abs()


def test_wrong_depths_come_back_to_where_photos_agree() -> None:
    truth = painted(photograph(*ball(), count=14, size=160))
    x = torch.linspace(0, 20, truth[0].width)
    dents = 1 + 0.02 * torch.sin(x)[:, None] * torch.sin(x + 1)[None, :]
    given = [replace(view, depth=view.depth * dents) for view in truth]
    found = settled(given, SettleConfig())
    before, after = away(given, truth), away(found, truth)
    assert float(after.median()) < 0.5 * float(before.median())
    assert float((after < 0.005).float().mean()) > 1.5 * float((before < 0.005).float().mean())
    assert all(bool(((one.depth > 0) == (view.depth > 0)).all()) for one, view in zip(found, truth, strict=True))
    normals = torch.cat([(a.normal * b.normal).sum(-1)[b.depth > 0] for a, b in zip(found, truth, strict=True)])
    assert float(normals.median()) > 0.97


def test_the_front_of_a_sheet_is_offered_to_views_of_its_back() -> None:
    """Haze before one side only: the depths of the other side are at hand, and the photos choose them."""
    truth = painted(photograph(*bent_sheet(), count=10))
    given = [replace(v, depth=v.depth * 0.9) if v.center[1] < 0 else v for v in truth]
    hazy = [v.center[1] < 0 for v in truth]
    found = settled(given, SettleConfig())
    after = torch.cat([away([a], [b]) for a, b, wrong in zip(found, truth, hazy, strict=True) if wrong])
    assert float((after < 0.01).float().mean()) > 0.8


def test_without_texture_depths_stay_and_count_less() -> None:
    views = [replace(v, photo=torch.full_like(v.photo, 0.5)) for v in photograph(*ball(), count=6)]
    found = settled(views, SettleConfig())
    for one, view in zip(found, views, strict=True):
        torch.testing.assert_close(one.depth, view.depth)
        torch.testing.assert_close(one.confidence, 0.3 * view.confidence)


def test_nothing_to_compare_with_changes_nothing() -> None:
    views = painted(photograph(*ball(), count=3))
    assert settled(views, SettleConfig(sources=0)) == views
    assert settled(views[:1], SettleConfig()) == views[:1]
    blind = [replace(v, depth=v.depth * 0) for v in views]
    assert settled(blind, SettleConfig()) == blind
    with pytest.raises(ReconError, match="no depths"):
        bounds([replace(v, confidence=v.confidence * 0) for v in blind], Space.plain(), FieldConfig())


def test_axes_turn_the_same_way_along_a_bent_sheet() -> None:
    grid = VoxelGrid.dense(12, torch.zeros(3), 1 / 12)
    position = grid.corner_positions()
    rows = torch.arange(len(position))
    angle = 2 * position[:, 0]
    true = torch.stack([angle.sin(), angle.cos(), torch.zeros_like(angle)], 1)
    sign = torch.where(torch.rand(len(true), 1, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    for lean in (1.0, -1.0):
        # A fifth of them say which way.
        torch.testing.assert_close(
            oriented(grid, rows, true * sign, lean * true * (position[:, :1] < 0.2)), lean * true
        )


def test_a_sheet_seen_from_both_sides_has_one_layer_and_nothing_behind_it() -> None:
    views = photograph(*bent_sheet(), count=12)
    low, high = bounds(views, Space.plain(), FieldConfig())
    surface = start_field(views, Space.plain(), low, high, 0.025, FieldConfig()).surface()
    area = face_areas(surface.vertices, surface.faces).sum()
    x, y = surface.vertices[:, 0], surface.vertices[:, 1]
    assert float((y - 0.25 * torch.cos(2 * x)).abs().max()) < 0.05
    assert float(area) == pytest.approx(float(face_areas(*bent_sheet()).sum()), rel=0.06)
