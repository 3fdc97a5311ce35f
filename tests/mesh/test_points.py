"""Surfaces through points: distance, topology and borders, with given and with estimated normals; mistakes."""

from __future__ import annotations

import pytest
import torch
from seen_shapes import ball, bent_sheet
from topology import topology
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.clean import face_areas
from recon.mesh.points import surface_of_points
from recon.render.distance import mean_distance, sample_surface


def scanned(shape: tuple[Tensor, Tensor], count: int = 3000, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Points at random on a shape, [N, 3], with its normals, [N, 3], of no particular length."""
    points, face = sample_surface(*shape, count)
    corners = shape[0][shape[1].long()[face]]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return points + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(0)), normals


@pytest.mark.parametrize("given", [True, False], ids=["normals", "estimated"])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_scanned_ball_is_closed_and_faces_outward(given: bool, noise: float) -> None:
    truth = ball()
    points, normals = scanned(truth, noise=noise)
    vertices, faces = surface_of_points(points, normals if given else None)
    found = topology(faces)
    assert (found.euler, found.boundary_edges, found.non_manifold_edges) == (2, 0, 0)
    # Points are 0.04 apart: a tenth of that, and a third of the noise after neighbours are averaged.
    assert mean_distance((vertices, faces), truth, 20_000) < 3e-3 + noise / 3
    corners = vertices[faces]
    outward = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = float((corners[:, 0] * outward).sum() / 6)
    assert volume == pytest.approx(4 / 3 * torch.pi * 0.6**3, rel=0.03)


@pytest.mark.parametrize("given", [True, False], ids=["normals", "estimated"])
def test_a_scanned_sheet_ends_where_the_points_end(given: bool) -> None:
    truth = bent_sheet()
    points, normals = scanned(truth)
    vertices, faces = surface_of_points(points, normals if given else None)
    found = topology(faces)
    assert (found.euler, found.non_manifold_edges) == (1, 0) and found.boundary_edges > 0
    assert mean_distance((vertices, faces), truth, 20_000) < 3e-3
    # It stands over by up to 1.25 voxels of 0.04; the border is 4 long around an area of 1.05.
    assert 1 < float(face_areas(vertices, faces).sum() / face_areas(*truth).sum()) < 1.2


def test_order_repeats_and_useless_normals_change_nothing() -> None:
    points, normals = scanned(ball(), 1000)
    one = surface_of_points(points, None)
    shuffle = torch.randperm(len(points), generator=torch.Generator().manual_seed(3))
    normals[5] = 0  # one normal is missing: none is believed
    again = surface_of_points(torch.cat([points[shuffle], points[:50]]), torch.cat([normals[shuffle], normals[:50]]))
    for a, b in zip(one, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_mistakes_are_named() -> None:
    points, _ = scanned(ball(), 1000)
    with pytest.raises(ReconError, match="50 distinct points"):
        surface_of_points(points[:50].repeat(4, 1))
    with pytest.raises(ReconError, match="far from all others"):
        surface_of_points(torch.cat([points, torch.tensor([[1e8, 0, 0]])]))
