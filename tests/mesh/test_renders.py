"""Renders of splats beside the photos: between the cameras, past their borders, and inside of what they show."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from seen_shapes import ball, photograph
from test_refine import look_at_origin
from torch import Tensor

from recon.geometry import quaternion
from recon.geometry.rigid import rotation_angle
from recon.mesh.between import BetweenConfig, halfway, views_between
from recon.mesh.build import MeshConfig, build_mesh
from recon.mesh.refine import RefineConfig
from recon.mesh.slices import SliceConfig, sliced_views
from recon.mesh.views import SurfaceView, rendered_view
from recon.scene.nodes import Splats

K = torch.tensor([[80.0, 0, 32], [0, 80, 32], [0, 0, 1]])


def coated(points: Tensor, normals: Tensor, size: float) -> Splats:
    """Opaque flat Gaussians on a surface, coloured by place."""
    up = torch.tensor([0.0, 0, 1]).expand_as(normals)
    # The quaternion that turns z into the normal: half way between the two.
    half = torch.cat([1 + (up * normals).sum(1, keepdim=True), torch.linalg.cross(up, normals)], 1)
    half[half.norm(dim=1) < 1e-3] = torch.tensor([0.0, 1, 0, 0])
    scales = torch.tensor([size, size, size / 20]).log().expand(len(points), 3)
    colors = ((points.clamp(-1, 1) + 1) / 2 - 0.5) / 0.28209479177387814
    return Splats(
        "gaussian",
        {
            "means": points, "quats": quaternion.normalize(half), "log_scales": scales.contiguous(),
            "opacity_logits": torch.full((len(points),), 6.0), "sh_coeffs": colors[:, None],
        },
    )  # fmt: skip


def grid(count: int, half: float) -> Tensor:
    """[count^2, 2] places in a square."""
    line = torch.linspace(-half, half, count)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def open_box() -> Splats:
    """Five sides of a box of 1.2, thin: the one towards +y is missing."""
    places, points, normals = grid(30, 0.6), [], []
    for axis, side in ((0, -1), (0, 1), (1, -1), (2, -1), (2, 1)):
        point, normal = torch.empty(len(places), 3), torch.zeros(len(places), 3)
        others = [k for k in range(3) if k != axis]
        point[:, others], point[:, axis] = places, 0.6 * side
        normal[:, axis] = side
        points.append(point)
        normals.append(normal)
    return coated(torch.cat(points), torch.cat(normals), 0.03)


def seen(splats: Splats, eyes: list[list[float]], size: int = 64) -> list[SurfaceView]:
    poses = [look_at_origin(torch.tensor(eye)) for eye in eyes]
    return [replace(rendered_view(splats, pose, K, size, size, antialias=False), rank=1.0) for pose in poses]


def test_halfway_is_in_the_middle() -> None:
    a, b = look_at_origin(torch.tensor([3.0, 0.5, 0])), look_at_origin(torch.tensor([0.5, 1.0, 2.5]))
    middle = halfway(a, b)
    centers = [-pose[:3, :3].T @ pose[:3, 3] for pose in (a, middle, b)]
    torch.testing.assert_close(centers[1], (centers[0] + centers[2]) / 2)
    first, second = rotation_angle(middle[:3, :3] @ a[:3, :3].T), rotation_angle(middle[:3, :3] @ b[:3, :3].T)
    assert first == pytest.approx(second, rel=1e-3)
    assert first + second == pytest.approx(rotation_angle(b[:3, :3] @ a[:3, :3].T), rel=1e-3)
    torch.testing.assert_close(halfway(a, a), a)


def test_renders_show_the_wall_past_the_photos() -> None:
    places = grid(60, 2.5)
    wall = torch.stack([places[:, 0], places[:, 1], torch.zeros(len(places))], 1)
    splats = coated(wall, torch.tensor([0.0, 0, 1]).expand_as(wall).contiguous(), 0.08)
    photos = seen(splats, [[0.1, 0, 3], [0.4, 0.2, 3], [-0.3, 0.1, 3]])
    extra = views_between(splats, photos, BetweenConfig(neighbors=2, margin=0.25), antialias=False)
    assert len(extra) == 6, "one a photo, and one for each of three pairs"
    for view in extra:
        points = view.points()[view.depth > 0]
        assert len(points) > 100 and float(points[:, 2].abs().max()) < 0.05
        assert view.width == 96 and 0 < view.rank < 1
    small = MeshConfig(resolution=40, texture=None, refine=RefineConfig(iterations=2))
    plain = [replace(view, weight=None) for view in photos]
    widths = [float((build_mesh(views, small).mesh.vertices[:, 0]).abs().max()) for views in (plain, [*plain, *extra])]
    assert widths[1] > widths[0] + 0.3
    assert views_between(splats, photos, BetweenConfig(neighbors=0, margin=0), antialias=False) == []


def test_slices_show_the_inside_of_a_box_and_nothing_of_a_ball() -> None:
    config = SliceConfig(count=3)
    box = open_box()
    photos = seen(box, [[0, 1.5, 2.6], [2.6, 1.5, 0], [-2.6, 1.5, 0], [0, 1.5, -2.6], [3, -0.6, 0.5]])
    slices = sliced_views(box, photos, config, coverage=False, antialias=False)
    points = torch.cat([view.points()[view.depth > 0] for view in slices])
    assert len(points) > 500
    away = (points.abs().amax(1) - 0.6).abs()
    assert float(away.quantile(0.95)) < 0.05, "on the walls"
    assert all(view.rank == 0 and view.near > 0 for view in slices)
    vertices, _ = ball()
    solid = coated(vertices, torch.nn.functional.normalize(vertices, dim=1), 0.03)
    photos = seen(solid, [[0, 1.5, 2.6], [2.6, 1.5, 0], [-2.6, -1.5, 0], [0, -1.5, -2.6], [0, -3, 0.1], [0, 3, 0.1]])
    slices = sliced_views(solid, photos, config, coverage=False, antialias=False)
    shown = sum(int((view.depth > 0).sum()) for view in slices)
    assert shown < 0.01 * sum(int((view.depth > 0).sum()) for view in photos)
    assert sliced_views(solid, photos, SliceConfig(), coverage=False, antialias=False) == []


def test_what_a_slice_cut_away_is_not_empty() -> None:
    """The front of a ball stays where it is though slices look through it."""
    truth = ball()
    photos = photograph(*truth, count=10)
    cut = [replace(view, rank=0.0, near=2.9, depth=torch.where(view.depth > 2.9, view.depth, 0)) for view in photos]
    small = MeshConfig(resolution=40, texture=None, refine=RefineConfig(iterations=2))
    radius = build_mesh([*photos, *cut], small).mesh.vertices.norm(dim=1)
    assert float((radius - 0.6).abs().max()) < 0.06
