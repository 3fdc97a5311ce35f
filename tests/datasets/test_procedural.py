"""Procedural captures: exact where a closed form exists, consistent between views, the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recon_datasets import SCENES, PinholeCamera, make_capture, render_view
from recon_datasets.capture import cameras_of, look_at, truth_mesh
from recon_datasets.render import trace
from recon_datasets.scenes import Item, SceneModel
from recon_datasets.shapes import Box, Cylinder, Rectangle, Shape, Sheet, Sphere

SHAPES: list[Shape] = [
    Box((0.3, 0.2, 0.4)), Rectangle((0.5, 0.4)), Sphere(0.5), Cylinder(0.3, 0.4), Sheet(0.5, 1.0, 0.3)
]  # fmt: skip


def plain(shape: Shape, position: tuple[float, float, float], is_object: bool = False) -> Item:
    return Item(shape, lambda uv: np.full((len(uv), 3), 0.5), np.eye(3), np.asarray(position, float), is_object)


def test_sphere_before_a_plane_has_its_closed_form() -> None:
    """A camera at the origin that looks down +z: the first pixel's centre is at (0.5, 0.5)."""
    model = SceneModel(
        (plain(Sphere(0.5), (0, 0, 2), True), plain(Rectangle((50, 50)), (0, 0, 3))), (0, 0, 2), 2, (0, 1), (0, 1)
    )
    K = np.array([[40.0, 0, 16], [0, 40, 12], [0, 0, 1]])
    view = render_view(model, PinholeCamera(32, 24, K, np.eye(4)), samples=1)
    x, y = np.meshgrid((np.arange(32) + 0.5 - 16) / 40, (np.arange(24) + 0.5 - 12) / 40)
    # Along (x, y, 1) z: (1 + x^2 + y^2) z^2 - 4 z + 4 - 0.25 = 0.
    a = 1 + x * x + y * y
    discriminant = 4 - a * 3.75
    depth = np.where(discriminant > 0, (2 - np.sqrt(np.maximum(discriminant, 0))) / a, 3.0)
    np.testing.assert_allclose(view.depth, depth, rtol=1e-6)
    assert np.array_equal(view.mask, discriminant > 0)
    points = np.stack([x, y, np.ones_like(x)], -1) * depth[..., None]
    np.testing.assert_allclose(view.normal[view.mask], (points[view.mask] - [0, 0, 2]) / 0.5, atol=1e-5)
    np.testing.assert_allclose(view.normal[~view.mask], np.broadcast_to([0, 0, -1.0], points.shape)[~view.mask])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_hits_lie_on_the_surface_and_on_its_tessellation(shape: Shape) -> None:
    import trimesh

    random = np.random.default_rng(0)
    origins = random.normal(size=(400, 3))
    origins *= 2 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = random.normal(size=(400, 3)) * 0.15 - origins
    t = shape.intersect(origins, directions)
    hit = np.isfinite(t)
    assert hit.sum() > 50
    points = origins[hit] + t[hit, None] * directions[hit]
    normals, _ = shape.surface(points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-9)
    vertices, faces = shape.tessellate(0.03)
    mesh = trimesh.Trimesh(vertices, faces, process=True)
    _, distance, triangle = trimesh.proximity.closest_point(mesh, points)
    # A chord of 0.03 on a radius of 0.3 or more stays within 0.03^2 / (8 * 0.3) of the arc.
    assert distance.max() < 5e-4
    if not isinstance(shape, Box | Cylinder):  # at their edges the nearest triangle may belong to the next face
        assert ((mesh.face_normals[triangle] * normals).sum(1) > 0.99).all()
    assert mesh.is_watertight == isinstance(shape, Box | Sphere | Cylinder)


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_depth_of_one_view_lands_on_the_depth_of_the_next(scene: str) -> None:
    model = SCENES[scene](0)
    cameras = cameras_of(model, 24, 48, 36, seed=0)
    a, b = cameras[10], cameras[11]
    first, second = render_view(model, a, samples=1), render_view(model, b, samples=1)
    assert np.isfinite(first.depth).all() and np.isfinite(second.depth).all(), "the room closes every view"
    y, x = np.mgrid[:36, :48] + 0.5
    local = (
        np.stack([(x - a.K[0, 2]) / a.K[0, 0], (y - a.K[1, 2]) / a.K[1, 1], np.ones_like(x)], -1)
        * first.depth[..., None]
    )
    world = (local - a.world_to_camera[:3, 3]) @ a.world_to_camera[:3, :3]
    seen = world @ b.world_to_camera[:3, :3].T + b.world_to_camera[:3, 3]
    u = seen[..., 0] / seen[..., 2] * b.K[0, 0] + b.K[0, 2]
    v = seen[..., 1] / seen[..., 2] * b.K[1, 1] + b.K[1, 2]
    inside = (u > 0) & (u < 48) & (v > 0) & (v < 36)
    there = second.depth[v[inside].astype(int), u[inside].astype(int)]
    agree = np.abs(there - seen[..., 2][inside]) < 0.04 * there
    # The rest is hidden from the second camera or lies across an edge.
    assert inside.mean() > 0.6 and agree.mean() > 0.8


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_truth_mesh_is_what_was_traced(scene: str) -> None:
    model = SCENES[scene](0)
    vertices, faces, colors = truth_mesh(model, edge=0.05)
    assert faces.min() == 0 and faces.max() == len(vertices) - 1 and len(colors) == len(vertices)
    for item in model.items:
        origins = np.tile(np.asarray(model.target) + np.array([0.0, 0, 0.6]), (3, 1))
        local = item.shape.tessellate(0.05)[0][:3] @ item.rotation.T + item.position
        t, _ = trace((item,), origins, local - origins)
        # A ray towards a vertex of the mesh meets the shape there, or nearer where the shape hides it.
        assert (t[np.isfinite(t)] < 1 + 1e-3).all()


def test_capture_reads_back_with_the_cameras_it_was_made_with(tmp_path: Path) -> None:
    from recon.io.capture import read_capture

    out = make_capture("sheet", tmp_path / "a", views=9, width=24, height=18, samples=1, seed=3)
    scene = read_capture(out).scene
    cameras = cameras_of(SCENES["sheet"](3), 9, 24, 18, seed=3)
    assert [view.name for view in scene.views] == [f"{i:04d}.png" for i in range(9)]
    for view, camera in zip(scene.views, cameras, strict=True):
        np.testing.assert_allclose(view.world_to_camera.numpy(), camera.world_to_camera, atol=1e-12)
        np.testing.assert_allclose(view.camera.K.numpy(), camera.K, atol=1e-12)
    splits = json.loads((out / "splits.json").read_text())
    assert splits["test"] == ["0000.png", "0008.png"] and len(splits["train"]["6"]) == 6
    again = make_capture("sheet", tmp_path / "b", views=9, width=24, height=18, samples=1, seed=3)
    for file in sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()):
        assert (out / file).read_bytes() == (again / file).read_bytes(), file


def test_look_at_is_a_rigid_motion_that_centres_the_target() -> None:
    pose = look_at(np.array([1.0, -2, 1.5]), np.array([0.2, 0.1, 0.3]))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    seen = pose[:3, :3] @ [0.2, 0.1, 0.3] + pose[:3, 3]
    np.testing.assert_allclose(seen[:2], 0, atol=1e-12)
    assert seen[2] > 0 and pose[1, 2] < 0, "in front, and world up is image up"


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="corner"):
        make_capture("kitchen", tmp_path)
    with pytest.raises(ValueError, match="4 views"):
        make_capture("table", tmp_path, views=2)
