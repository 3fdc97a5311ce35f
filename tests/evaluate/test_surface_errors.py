"""Counts and distances of meshes against what is known of simple ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_distance import CUBE, FACES

from recon.errors import ReconError
from recon.evaluate.surface import compare_surfaces
from recon.evaluate.topology import topology
from recon.scene.nodes import Mesh

CUBE32 = CUBE.float()


def test_a_closed_cube() -> None:
    found = topology(Mesh(CUBE32, FACES))
    assert (found.triangles, found.vertices, found.parts, found.euler) == (12, 8, 1, 2)
    assert (found.boundary_edges, found.non_manifold_edges, found.flipped_edges, found.self_intersections) == (0,) * 4
    # Corners of their own, as along the borders of charts, change nothing.
    assert topology(Mesh(CUBE32[FACES.reshape(-1)], torch.arange(36).reshape(-1, 3))) == found


def test_holes_flips_and_fins() -> None:
    lid = topology(Mesh(CUBE32, FACES[:-2]))
    assert (lid.boundary_edges, lid.boundary_loops, lid.euler) == (4, 1, 1)
    flipped = FACES.clone()
    flipped[0] = flipped[0].flip(0)
    assert topology(Mesh(CUBE32, flipped)).flipped_edges == 3
    fin = torch.cat([FACES, torch.tensor([[0, 1, 8]])])
    assert topology(Mesh(torch.cat([CUBE32, torch.tensor([[0.5, -1.0, -1.0]])]), fin)).non_manifold_edges == 1


def test_crossing_triangles_are_counted_like_one_by_one() -> None:
    rng = np.random.default_rng(0)
    vertices = torch.from_numpy(rng.normal(size=(90, 3)).astype(np.float32))
    faces = torch.arange(90).reshape(-1, 3)
    pairs = 0
    for i in range(30):
        for j in range(i):
            pairs += topology(Mesh(vertices, faces[[i, j]])).self_intersections
    assert pairs > 10
    assert topology(Mesh(vertices, faces)).self_intersections == pairs
    apart = torch.cat([CUBE32, CUBE32 + 2]), torch.cat([FACES, FACES + 8])
    crossing = torch.cat([CUBE32, CUBE32 + torch.tensor([0.5, 0.4, 0.3])]), torch.cat([FACES, FACES + 8])
    assert topology(Mesh(*apart)).self_intersections == 0 and topology(Mesh(*apart)).parts == 2
    assert topology(Mesh(*crossing)).self_intersections > 0


def test_scores_of_a_moved_side() -> None:
    """A cube without one of its sides, larger by 1.5 % of the diagonal along one axis."""
    same = compare_surfaces((CUBE32, FACES), (CUBE32, FACES), 20_000)
    assert same.chamfer < 1e-6 and same.f_scores == (1.0,) * 3 and same.normal_consistency == pytest.approx(1)
    moved = CUBE32.clone()
    moved[:, 2] *= 1 + 0.015 * 3**0.5
    found = compare_surfaces((moved, FACES), (CUBE32, FACES), 20_000)
    # One side of six is 1.5 % of the diagonal away: outside of 1 %, inside of 2 %.
    assert found.f_scores[2] == pytest.approx(1)
    assert found.precision[1] == pytest.approx(1 - 1 / 6.1, abs=0.01)
    half = compare_surfaces((CUBE32, FACES[:6]), (CUBE32, FACES), 20_000)
    assert half.precision[1] == pytest.approx(1) and half.recall[1] == pytest.approx(0.52, abs=0.03)
    seen = compare_surfaces((CUBE32, FACES[:6]), (CUBE32, FACES), 20_000, seen=CUBE32[FACES[:6]].mean(1))
    assert seen.recall[1] == 1
    with pytest.raises(ReconError, match="0 triangles"):
        compare_surfaces((CUBE32, FACES[:0]), (CUBE32, FACES))
