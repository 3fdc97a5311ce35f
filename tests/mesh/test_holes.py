"""Openings that are closed, and those that stay."""

from __future__ import annotations

import math

import pytest
import torch
from seen_shapes import ball, bent_sheet
from topology import topology

from recon.mesh.holes import fill_holes, rims
from recon.render.distance import mean_distance


def test_small_openings_are_closed_and_large_ones_stay() -> None:
    vertices, faces = ball()
    faces = faces.long()
    middles = vertices[faces].mean(1)
    dot = middles @ torch.nn.functional.normalize(torch.tensor([1.0, 2, 3]), dim=0)
    cap = dot > 0.5  # a wide opening
    few = (middles - middles[400]).norm(dim=1) < 0.08
    keep = ~cap & ~few
    keep[1200] = False  # a single triangle
    broken = faces[keep]
    assert topology(broken).euler == 2 - 3 and len(rims(broken)) == 3
    filled = fill_holes(vertices, broken, vertices, 1.0)
    found = topology(filled[1])
    assert found.euler == 2 - 1 and found.non_manifold_edges == 0
    assert mean_distance((filled[0], filled[1]), (vertices, faces[~cap]), 20_000) < 2e-3
    torch.testing.assert_close(filled[2], filled[0], msg="values follow the vertices")
    whole = fill_holes(vertices, broken, vertices, 10.0)
    assert topology(whole[1]).boundary_edges == 0
    a, b, c = (whole[0][whole[1][:, k]] for k in range(3))
    cut = math.pi * 0.1**2 * (3 * 0.6 - 0.1) / 3
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
    assert volume == pytest.approx(4 / 3 * math.pi * 0.6**3 - cut, rel=0.01), "outward, as the others"


def test_nothing_to_close() -> None:
    for vertices, faces in (ball(), bent_sheet()):
        filled = fill_holes(vertices, faces.long(), vertices, 1.0)
        assert torch.equal(filled[0], vertices) and torch.equal(filled[1], faces.long())
    assert rims(torch.zeros(0, 3, dtype=torch.long)) == []


def test_rims_that_meet_stay() -> None:
    _, faces = bent_sheet(6)
    holes = torch.ones(len(faces), dtype=torch.bool)
    # Two neighbours across a vertex of the sheet's middle.
    at = (faces == 14).any(1).nonzero()[:, 0]
    holes[at[0]] = holes[at[-1]] = False
    assert len(rims(faces[holes])) == 1, "the sheet's own border"
