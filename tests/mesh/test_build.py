"""From views of known surfaces to meshes: distance, topology, open surfaces, floating pieces, mistakes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from seen_shapes import ball, bent_sheet, photograph
from topology import topology

from recon.errors import ReconError
from recon.mesh.build import MeshConfig, build_mesh
from recon.mesh.clean import compact, face_areas, large_parts
from recon.mesh.field import FieldConfig, bounds, start_field
from recon.mesh.refine import RefineConfig
from recon.mesh.space import Space
from recon.mesh.views import agreeing, surface_views
from recon.render.distance import mean_distance
from recon.scene.nodes import Splats

SMALL = MeshConfig(resolution=40, texture=None, refine=RefineConfig(iterations=12))


def test_a_ball_comes_back_closed_and_coloured() -> None:
    truth = ball()
    built = build_mesh(photograph(*truth, count=14), SMALL)
    mesh = built.mesh
    found = topology(mesh.faces)
    assert (found.euler, found.boundary_edges, found.non_manifold_edges) == (2, 0, 0)
    # A voxel is 0.03; depths of 96 pixels over 1.2 units leave about a tenth of that.
    assert mean_distance((mesh.vertices, mesh.faces), truth, 20_000) < 4e-3
    assert mesh.colors is not None and mesh.normals is not None
    assert float((mesh.colors - (mesh.vertices + 1) / 2).abs().mean()) < 0.03
    torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones(len(mesh.normals)))
    outward = (mesh.normals * torch.nn.functional.normalize(mesh.vertices, dim=1)).sum(1)
    assert float(outward.min()) > 0.8


def test_what_no_view_sees_stays_open() -> None:
    truth = ball()
    built = build_mesh(photograph(*truth, count=8, masks=False, heights=(0.3, 0.9)), SMALL)
    found = topology(built.mesh.faces)
    assert found.boundary_edges > 0 and found.non_manifold_edges == 0
    assert float(built.mesh.vertices[:, 1].min()) > -0.6, "the far side was never seen"


def test_a_sheet_stays_one_open_layer() -> None:
    truth = bent_sheet()
    mesh = build_mesh(photograph(*truth, count=8, heights=(0.4, 0.95)), replace(SMALL, levels=1)).mesh
    found = topology(mesh.faces)
    assert found.boundary_edges > 0 and found.non_manifold_edges == 0
    assert mean_distance((mesh.vertices, mesh.faces), truth, 20_000) < 4e-3
    # Up to a voxel is missing along the border; twice the area would be a front and a back.
    assert float(face_areas(mesh.vertices, mesh.faces).sum() / face_areas(*truth).sum()) == pytest.approx(0.9, abs=0.12)


def test_far_things_get_larger_voxels() -> None:
    space = Space(torch.tensor([0.1, 0.2, 0.3]), 0.7)
    points = torch.randn(200, 3) * 4
    torch.testing.assert_close(space.to_world(space.from_world(points)), points, rtol=1e-4, atol=1e-4)
    near = points[(points - space.center).norm(dim=1) < 0.7]
    torch.testing.assert_close(space.from_world(near), near)
    # Radially the lattice is as long as `shrinkage` says.
    step = 1e-3 * torch.nn.functional.normalize(points - space.center, dim=1)
    long = (space.from_world(points + step) - space.from_world(points - step)).norm(dim=1) / 2e-3
    torch.testing.assert_close(long, space.shrinkage(points), rtol=0.02, atol=1e-3)


def test_small_pieces_are_dropped() -> None:
    vertices, faces = ball()
    speck = vertices * 0.05 + 2
    both = torch.cat([vertices, speck]), torch.cat([faces, faces + len(vertices)])
    keep = large_parts(*both, share=0.01)
    assert keep.tolist() == [True] * len(faces) + [False] * len(faces)
    rows, compacted = compact(both[0], both[1][keep])
    assert torch.equal(rows, torch.arange(len(vertices))) and torch.equal(compacted, faces.long())
    # Nothing is left out of what has one part only, whatever the share.
    assert bool(large_parts(vertices, faces, share=0.99).all())


def test_views_agree_on_the_field_whatever_their_order() -> None:
    views = photograph(*ball(), count=6)
    config = FieldConfig()
    low, high = bounds(views, Space.plain(), config)
    a, b = (start_field(order, Space.plain(), low, high, 0.05, config) for order in (views, views[::-1]))
    assert torch.equal(a.grid.coords, b.grid.coords)
    torch.testing.assert_close(a.values["sdf"], b.values["sdf"], atol=1e-4, rtol=1e-4)


def test_mistakes_are_named() -> None:
    with pytest.raises(ReconError, match="without splats"):
        surface_views(Splats("gaussian", {"means": torch.zeros(0, 3)}), [], coverage=False, antialias=False)
    with pytest.raises(ReconError, match="no training views"):
        surface_views(Splats("gaussian", {"means": torch.zeros(1, 3)}), [], coverage=False, antialias=False)
    blind = [replace(view, confidence=view.confidence * 0) for view in photograph(*ball(), count=2)]
    with pytest.raises(ReconError, match="no depths"):
        build_mesh(blind, SMALL)
    with pytest.raises(ReconError, match=r"mesh\.memory"):
        build_mesh(photograph(*ball(), count=4), replace(SMALL, memory="1MB"))
    with pytest.raises(ReconError, match=r"mesh\.start"):
        FieldConfig(truncation=0.5)


def test_floating_dirt_loses_trust() -> None:
    """A patch before the ball in one view, which the other views look through."""
    views = photograph(*ball(), count=8)
    first = views[0]
    dirty = first.depth.clone()
    patch = (slice(40, 56), slice(40, 56))
    dirty[patch] *= 0.8
    found = agreeing([replace(first, depth=dirty), *views[1:]])
    assert float(found[0].confidence[patch].mean()) < 0.4
    clean = torch.ones_like(dirty, dtype=torch.bool)
    clean[patch] = False
    # Pixels at the silhouette lie outside of another's now and then.
    assert float(found[0].confidence[clean & (dirty > 0)].mean()) > 0.8


def test_depths_that_are_not_finite_do_not_reach_the_field() -> None:
    """A Gaussian with a NaN is not rendered; a view whose depths are all broken leaves the others their surface."""
    views = photograph(*ball(), count=6)
    blind = replace(views[0], depth=views[0].depth * 0, confidence=views[0].confidence * 0)
    mesh = build_mesh([blind, *views[1:]], replace(SMALL, levels=1)).mesh
    assert bool(mesh.vertices.isfinite().all()) and len(mesh.faces) > 100


def test_one_view_gives_its_side() -> None:
    mesh = build_mesh(photograph(*ball(), count=1, masks=False, heights=(0, 0.2)), replace(SMALL, levels=1)).mesh
    found = topology(mesh.faces)
    assert found.boundary_edges > 0 and len(mesh.faces) > 100


def test_the_resolution_follows_the_photos() -> None:
    views = photograph(*ball(), count=6)
    built = build_mesh(views, replace(SMALL, resolution=None, levels=1, refine=RefineConfig(iterations=0)))
    # Pixels of 3 / (1.3 * 96) at the middle; the surface is up to 0.6 nearer.
    assert built.voxel_size == pytest.approx(2 * 2.5 / (1.3 * 96), rel=0.05)


def test_a_start_from_a_mesh_may_be_no_manifold() -> None:
    """A ball with faces missing, doubled and turned over, seen by cameras that have photos of the whole."""
    vertices, faces = ball()
    broken = torch.cat([faces[40:], faces[100:200], faces[300:350].flip(1)])
    seen = photograph(vertices, broken, count=14)
    whole = photograph(vertices, faces, count=14)
    mesh = build_mesh(
        [replace(one, mask=two.mask, photo=two.photo) for one, two in zip(seen, whole, strict=True)], SMALL
    )
    found = topology(mesh.mesh.faces)
    assert found.non_manifold_edges == 0
    assert mean_distance((mesh.mesh.vertices, mesh.mesh.faces), (vertices, faces), 20_000) < 6e-3
