"""Scenes with a difficulty: each is difficult in the way it says, and its truth stays exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from recon_datasets import SCENES, cameras_of, make_capture, render_view, truth_mesh
from recon_datasets import textures as tx
from recon_datasets.render import shade, trace
from recon_datasets.scenes import Item, SceneModel
from recon_datasets.shapes import Rectangle

SMALL = {"views": 9, "width": 48, "height": 36, "samples": 1, "seed": 3}


def test_a_mirror_shows_what_a_camera_behind_it_would_see() -> None:
    """Looking down on a floor that mirrors fully: the same as looking up from below it, where it is not."""
    floor = Item(
        Rectangle((9, 9)), tx.paint((0.5, 0.5, 0.5), 0), np.eye(3), np.zeros(3), mirror=1.0, casts_shadow=False
    )
    board = tx.checker((0.9, 0.1, 0.1), (0.1, 0.1, 0.9), 0.3, 0)
    ceiling = Item(Rectangle((9, 9)), board, np.eye(3), np.array([0, 0, 2.0]), casts_shadow=False)
    model = SceneModel((floor, ceiling), (0, 0, 0), 1, (0, 1), (0, 1))
    random = np.random.default_rng(0)
    down = np.column_stack([random.uniform(-0.5, 0.5, (200, 2)), -np.ones(200)])
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    above, below = np.tile([0.3, 0.2, 1.0], (200, 1)), np.tile([0.3, 0.2, -1.0], (200, 1))
    unseen = replace(model, items=(ceiling,))
    # The reflected ray starts a millimetre above the floor, so it arrives up to a millimetre elsewhere.
    np.testing.assert_allclose(shade(model, above, down), shade(unseen, below, down * [1, 1, -1]), atol=2e-3)
    half = replace(model, items=(replace(floor, mirror=0.5), ceiling))
    plain = replace(model, items=(replace(floor, mirror=0.0), ceiling))
    mean = (shade(model, above, down) + shade(plain, above, down)) / 2
    np.testing.assert_allclose(shade(half, above, down), mean, atol=1e-6)


@pytest.mark.parametrize("name", ["specular", "thin"])
def test_rays_end(name: str) -> None:
    """Mirrors that face each other are given up on after a bounce."""
    model = SCENES[name](0)
    camera = cameras_of(model, 24, 48, 36, seed=0)[3]
    assert np.isfinite(render_view(model, camera, samples=1).depth).all()


def test_repeated_textures_are_the_same_a_period_further() -> None:
    uv = np.random.default_rng(0).uniform(-2, 2, (500, 2))
    paper = tx.tiles((0.9, 0.8, 0.7), (0.2, 0.3, 0.4), 0.25)
    assert (paper(uv) == paper(uv + np.array([0.25, 0]))).mean() > 0.99 and (
        paper(uv) == paper(uv - np.array([0, 0.5]))
    ).mean() > 0.99
    assert paper(uv).std() > 0.1


def test_bare_surfaces_have_little_to_match() -> None:
    def contrast(name: str) -> float:
        """Median over items of the texture's deviation within 20 cm."""
        uv = np.random.default_rng(0).uniform(0, 0.2, (400, 2))
        return float(np.median([item.texture(uv).std(0).max() for item in SCENES[name](0).items]))

    assert contrast("bare") < 0.02 < 0.08 < contrast("table")


def test_wires_are_about_two_pixels_wide() -> None:
    model = SCENES["thin"](0)
    camera = cameras_of(model, 24, 320, 240, seed=0)[12]
    depth = np.linalg.norm(-camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3] - model.target)
    wires = [item for item in model.items if item.is_object and hasattr(item.shape, "half_height")]
    assert len(wires) > 20
    widths = [2 * item.shape.radius * camera.K[0, 0] / depth for item in wires]  # type: ignore[attr-defined]
    assert 0.8 < min(widths) <= max(widths) < 2.5


def test_exposure_changes_training_photos_by_one_factor_a_colour(tmp_path: Path) -> None:
    changed, table = make_capture("exposure", tmp_path / "a", **SMALL), make_capture("table", tmp_path / "b", **SMALL)
    factors = []
    for index in range(9):
        a, b = (iio.imread(folder / "images" / f"{index:04d}.png").astype(float) for folder in (changed, table))
        if index % 8 == 0:
            assert np.array_equal(a, b), "held-out photos are those of the table"
            continue
        counts = (a < 250) & (b > 40)
        found = np.array([np.median((a / b.clip(1))[..., c][counts[..., c]]) for c in range(3)])
        assert np.abs(a - b * found)[counts].max() < 6, "rounding aside, one factor for each colour"
        factors.append(found)
    assert np.log(factors).std() > 0.15
    assert (changed / "mesh.ply").read_bytes() == (table / "mesh.ply").read_bytes()


def test_what_moves_is_in_no_truth_and_in_no_held_out_photo(tmp_path: Path) -> None:
    model = SCENES["moving"](3)
    wanderer = next(item for item in model.items if item.motion is not None)
    first, last = (model.at(share).items[-1].position for share in (0.0, 1.0))
    assert np.linalg.norm(last - first) > 0.5 and np.array_equal(first, wanderer.position)
    assert len(truth_mesh(model.at(None))[0]) < len(truth_mesh(model.at(0.5))[0])
    out, table = make_capture("moving", tmp_path / "a", **SMALL), make_capture("table", tmp_path / "b", **SMALL)
    assert (out / "mesh.ply").read_bytes() == (table / "mesh.ply").read_bytes()
    cameras = cameras_of(model, 9, 48, 36, seed=3)
    for index, camera in enumerate(cameras):
        same = np.array_equal(*(iio.imread(folder / "images" / f"{index:04d}.png") for folder in (out, table)))
        origin = -camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]
        moved = model.at(index / 8)
        way = (moved.items[-1].position - origin)[None]
        seen = trace(moved.items, origin[None], way / np.linalg.norm(way))[1][0] == len(moved.items) - 1
        assert same if index % 8 == 0 else (not same or not seen)
