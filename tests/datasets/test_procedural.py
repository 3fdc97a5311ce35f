"""Procedural captures: exact where a closed form exists, consistent between views, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from recon_datasets import SCENES, PinholeCamera, cameras_of, look_at, render_view, truth_mesh
from recon_datasets.cameras import LAYOUTS, Layout
from recon_datasets.scenes import Item, SceneModel
from recon_datasets.shapes import CHORD, Box, Cylinder, Rectangle, Shape, Sheet, Sphere
from recon_datasets.truth import count_views, sample_surface

from recon.geometry.camera import Distortion

SHAPES: list[Shape] = [
    Box((0.3, 0.2, 0.4)), Rectangle((0.5, 0.4)), Sphere(0.5), Cylinder(0.3, 0.4), Sheet(0.5, 1.0, 0.3)
]  # fmt: skip


def plain(shape: Shape, position: tuple[float, float, float], is_object: bool = False) -> Item:
    return Item(shape, lambda uv: np.full((len(uv), 3), 0.5), np.eye(3), np.asarray(position, float), is_object)


def _world_rays(camera: PinholeCamera) -> np.ndarray:
    """World directions [H, W, 3] through pixel centres, of depth one."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    K = camera.K
    local = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], -1)
    return local @ camera.world_to_camera[:3, :3]


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
    # CHORD, and as much again for the diagonal of a doubly curved cell.
    assert distance.max() < 2 * CHORD
    if not isinstance(shape, Box | Cylinder):  # at their edges the nearest triangle may belong to the next face
        assert ((mesh.face_normals[triangle] * normals).sum(1) > 0.99).all()
    assert mesh.is_watertight == isinstance(shape, Box | Sphere | Cylinder)


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_one_view_lands_on_the_next(scene: str) -> None:
    """Depth and colour of one photo, moved into the other camera, are found there."""
    model = SCENES[scene](0)
    a, b = cameras_of(model, 24, 64, 48, seed=0)[10:12]
    first, second = render_view(model, a, samples=4), render_view(model, b, samples=4)
    assert np.isfinite(first.depth).all() and np.isfinite(second.depth).all(), "the room closes every view"
    for view, camera in ((first, a), (second, b)):
        np.testing.assert_allclose(np.linalg.norm(view.normal, axis=-1), 1, atol=1e-6)
        assert ((view.normal * _world_rays(camera)).sum(-1) < 1e-6).all(), "normals face the camera"
    world = (_world_rays(a) * first.depth[..., None]).reshape(-1, 3) - a.world_to_camera[:3, :3].T @ a.world_to_camera[
        :3, 3
    ]
    pixels, z = b.project(world)
    inside = ((pixels > 0) & (pixels < [64, 48])).all(1)
    column, row = pixels[inside].astype(int).T
    # Within the pixel that it lands in, a surface's depth varies: by 4 % where it is seen at a slant.
    agree = np.abs(second.depth[row, column] - z[inside]) < 0.04 * z[inside]
    # The rest is hidden from the second camera or lies across an edge.
    assert inside.mean() > 0.6 and agree.mean() > 0.85
    colors = first.rgb.reshape(-1, 3)[inside][agree].astype(float), second.rgb[row, column][agree].astype(float)
    # Fine print moves by up to half a pixel between the rasters; most of it must still match, as a shuffle does not.
    difference = np.abs(colors[0] - colors[1]).mean()
    shuffled = np.abs(colors[0] - np.random.default_rng(0).permutation(colors[1])).mean()
    assert difference < 0.5 * shuffled
    same_object = first.mask.reshape(-1)[inside][agree] == second.mask[row, column][agree]
    assert first.mask.any() and same_object.mean() > 0.97, "masks agree but at the outline"


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_what_was_photographed_lies_on_the_truth_mesh(scene: str) -> None:
    import trimesh

    model = SCENES[scene](0)
    camera = cameras_of(model, 24, 24, 18, seed=0)[5]
    view = render_view(model, camera, samples=1)
    points = (_world_rays(camera) * view.depth[..., None]).reshape(-1, 3)
    points -= camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3]
    for object_only, rows in ((False, slice(None)), (True, view.mask.reshape(-1))):
        vertices, faces, colors = truth_mesh(model, edge=0.1, object_only=object_only)
        assert len(colors) == len(vertices) and faces.max() == len(vertices) - 1
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        _, distance, _ = trimesh.proximity.closest_point(mesh, points[rows])
        assert distance.max() < 2 * CHORD + 1e-6, "float32 depth at two metres adds less than a micrometre"
    open_parts = any(isinstance(item.shape, Sheet) for item in model.items)
    assert mesh.is_watertight != open_parts, "the object is closed, but for sheets"
    assert (mesh.is_winding_consistent and mesh.volume > 0) or open_parts


def test_look_at_is_a_rigid_motion_that_centres_the_target() -> None:
    pose = look_at(np.array([1.0, -2, 1.5]), np.array([0.2, 0.1, 0.3]))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    seen = pose[:3, :3] @ [0.2, 0.1, 0.3] + pose[:3, 3]
    np.testing.assert_allclose(seen[:2], 0, atol=1e-12)
    assert seen[2] > 0 and pose[1, 2] < 0, "in front, and world up is image up"


@pytest.mark.parametrize(
    "lens", [Distortion("opencv", (-0.1, 0.02, 0.002, -0.003)), Distortion("fisheye", (0.02, -0.01, 0, 0))]
)
def test_distorted_photo_shows_the_point_that_projects_there(lens: Distortion) -> None:
    """Depth along the distorted ray, projected through the lens, comes back to the centre of its pixel."""
    model = SCENES["sphere"](0)
    camera = cameras_of(model, 4, 32, 24, seed=0, distortion=lens)[1]
    view = render_view(model, camera, samples=1)
    centers = np.stack(np.meshgrid(np.arange(32) + 0.5, np.arange(24) + 0.5), -1).reshape(-1, 2)
    ideal = camera.ideal(centers)
    assert np.abs(ideal - centers).max() > 0.3, "the lens does bend rays"
    rays = np.column_stack([(ideal - camera.K[:2, 2]) / camera.K.diagonal()[:2], np.ones(len(ideal))])
    local = rays * view.depth.reshape(-1, 1)
    world = (local - camera.world_to_camera[:3, 3]) @ camera.world_to_camera[:3, :3]
    pixels, _ = camera.project(world)
    np.testing.assert_allclose(pixels, centers, atol=1e-6)
    on_ball = np.abs(np.linalg.norm(world - [0, 0, 0.4], axis=1) - 0.4) < 1e-5
    assert np.array_equal(on_ball, view.mask.reshape(-1)) and on_ball.any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_neighbouring_views_of_every_layout_share_the_object(layout: Layout) -> None:
    model = SCENES["table"](1)
    cameras = cameras_of(model, 24, 80, 60, seed=1, layout=layout)
    centers = np.array([-camera.world_to_camera[:3, :3].T @ camera.world_to_camera[:3, 3] for camera in cameras])
    assert len(np.unique(centers.round(6), axis=0)) == 24
    columns = sample_surface(model, 4000, seed=0)
    points = np.stack([columns[axis] for axis in "xyz"], 1)[columns["object"] == 1]
    depths = [render_view(model, camera, samples=1).depth for camera in cameras]
    seen = np.array([count_views(points, [camera], [depth]) for camera, depth in zip(cameras, depths, strict=True)])
    shared = (seen[:-1] & seen[1:]).sum(1) / seen[:-1].sum(1)
    assert shared.min() > 0.5, "neighbours share more than half of what they see"
    others = cameras_of(model, 24, 80, 60, seed=2, layout=layout)
    assert not np.allclose(others[0].world_to_camera, cameras[0].world_to_camera), "the seed moves the cameras"
