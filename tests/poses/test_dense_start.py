"""The dense start, on photos of a plane whose every depth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from textured_room import Room, make_room, room_seen_from

from recon.geometry.camera import pixel_grid, project
from recon.io.images import Image
from recon.poses.dense import DenseConfig, DenseInput, make_source
from recon.poses.dense.fusion import FusionConfig, fuse, normals
from recon.poses.dense.union import with_sparse
from recon.render.library import core, pointer
from recon.scene import Points, View
from recon.stereo.depth_maps import DepthMap, StereoConfig, depth_maps
from recon.stereo.neighbors import choose_sources, depth_range, scene_points
from recon.stereo.planes import plane_normals, slopes_of


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(count=4, width=240, height=180)


def search(room: Room, config: StereoConfig | None = None) -> list[DepthMap]:
    images = [(room.images[view.name].rgb, None) for view in room.scene.views]
    shown = scene_points(room.scene.views, None)
    return depth_maps(room.scene.views, images, shown, config or StereoConfig(), 0, lambda done, total: None)


@pytest.fixture(scope="module")
def maps(room: Room) -> list[DepthMap]:
    return search(room)


def truth(view: View) -> torch.Tensor:
    """Depth [H, W] of the plane z = 0."""
    camera, pose = view.camera, view.world_to_camera
    grid = pixel_grid(camera.width, camera.height, torch.float64)
    rays = torch.cat([grid, torch.ones_like(grid[..., :1])], -1) @ camera.K.inverse().T
    return -view.center[2] / (rays @ pose[:3, :3])[..., 2]


def on_the_wall(view: View) -> torch.Tensor:
    """Pixels [H, W] that show the textured square and that another photo shows, too: the arc is narrow."""
    depth = truth(view)
    camera, pose = view.camera, view.world_to_camera
    grid = pixel_grid(camera.width, camera.height, torch.float64)
    rays = torch.cat([grid, torch.ones_like(grid[..., :1])], -1) @ camera.K.inverse().T
    world = (rays * depth[..., None] - pose[:3, 3]) @ pose[:3, :3]
    return (world[..., :2].abs() < 1.9).all(-1)


def test_depths_of_a_plane(maps: list[DepthMap]) -> None:
    for one in maps:
        error = (1 / one.inverse_depth.double() / truth(one.view) - 1).abs()
        # What only one photo shows at the borders has no depth to find.
        assert float((error < 0.01)[on_the_wall(one.view)].double().mean()) > 0.85
        assert float(error[on_the_wall(one.view)].median()) < 0.002


def test_normals_of_a_plane(maps: list[DepthMap]) -> None:
    for one in maps:
        found = normals(one)
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(found.shape[:2], dtype=torch.float64))
        assert float(-found[..., 2][on_the_wall(one.view)].median()) > 0.98, "towards the cameras, at negative z"


def right_on_the_wall(one: DepthMap) -> float:
    """Share of the wall's pixels whose depth is right to 1 %."""
    error = (1 / one.inverse_depth.double() / truth(one.view) - 1).abs()
    return float((error < 0.01)[on_the_wall(one.view)].double().mean())


def test_slopes_are_those_of_planes_with_a_normal(maps: list[DepthMap]) -> None:
    K, width, height = maps[0].view.camera.K, 240, 180
    normal = torch.nn.functional.normalize(torch.tensor([0.6, -0.3, -1.0], dtype=torch.float64), dim=0)
    q = torch.full((height, width), 0.7, dtype=torch.float64)
    found = plane_normals(q, 0.7 * slopes_of(normal, K, width, height), K, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(found, normal.expand(height, width, 3))
    behind = slopes_of(-normal, K, width, height)
    assert not behind.any(), "seen from behind: facing the camera instead"


def test_a_floor_is_found_by_cameras_far_apart() -> None:
    """Both look at it 69 degrees off its normal, 63 degrees apart: planes that face them look like nothing there."""
    down = (3 * math.sin(1.2), -3 * math.cos(1.2))
    eyes = [(down[0] * math.sin(turn), down[0] * math.cos(turn), down[1]) for turn in (-0.6, 0.6)]
    # The off-centre principal point leaves little to the first one that both show. From planes that face it: 0.25.
    assert right_on_the_wall(search(room_seen_from(eyes, width=240, height=180))[1]) > 0.5


def test_what_is_hidden_from_most_photos_is_found_in_the_one_that_shows_it() -> None:
    room = make_room(count=5, width=240, height=180)
    hidden = np.random.default_rng(0).random((3, 180, 240, 3), dtype=np.float32)
    names = [view.name for view in room.scene.views]
    images = {**room.images, **{name: Image(other, None) for name, other in zip(names[2:], hidden, strict=True)}}
    assert right_on_the_wall(search(replace(room, images=images))[0]) > 0.97


def test_fused_points_lie_on_the_plane(room: Room, maps: list[DepthMap]) -> None:
    points = fuse(maps, FusionConfig(max_points=5000), seed=0)
    assert len(points.positions) == 5000
    assert points.normals is not None and points.scales is not None
    assert float((points.positions[:, 2].abs() < 0.02).double().mean()) > 0.98
    assert float((points.normals[:, 2] < -0.9).double().mean()) > 0.9
    everything = fuse(maps, FusionConfig(max_points=10**6), seed=0)
    growth = (len(everything.positions) / 5000) ** 0.5
    assert everything.scales is not None
    # Half a pixel at distance 3 and focal length 400, at the size of these photos.
    assert float(everything.scales.median()) == pytest.approx(0.5 * 3 / 405, rel=0.15)
    assert float(points.scales.median()) == pytest.approx(growth * float(everything.scales.median()), rel=0.1)
    # One photo's pixels are not given twice: fewer points than photos have pixels.
    assert len(everything.positions) < 2.5 * 240 * 180
    view = room.scene.views[1]
    local = points.positions.double() @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
    pixels = project(local, view.camera.K)
    inside = ((pixels > 0) & (pixels < torch.tensor([240, 180]))).all(-1)
    x, y = pixels[inside].long().unbind(-1)
    seen = torch.from_numpy(room.images[view.name].rgb)[y, x]
    assert float((seen - points.colors[inside]).abs().mean()) < 0.06


def test_threads_and_runs_do_not_matter(room: Room) -> None:
    quick = StereoConfig(levels=2, sweeps=2, geometric_sweeps=1, hypotheses=16)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = search(room, quick)
        torch.set_num_threads(2)
        second = search(room, quick)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.inverse_depth, b.inverse_depth) and torch.equal(a.cost, b.cost)


def sweep(precision: str, dtype: torch.dtype) -> torch.Tensor:
    """Costs [20, 40] of random planes in a random image against itself moved by 2 px, through the native core."""
    g = torch.Generator().manual_seed(0)
    margin, height, width = core.STEREO_MARGIN, 20, 40
    shape = (height + 2 * margin, width + 2 * margin + 16)
    image = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 80, 100, generator=g, dtype=torch.float64) * 255, 3, 1, 1)
    bordered = image[0, 0, : shape[0], : shape[1]].contiguous()
    gray = (bordered[margin : margin + height, margin - 2 : margin - 2 + width] + 0.5).numpy().astype(np.uint32)
    right = np.roll(gray, -1, 1)
    words = gray | right << 8 | np.roll(gray, -1, 0) << 16 | np.roll(right, -1, 0) << 24
    quads = torch.from_numpy(words.view(np.int32).copy())
    planes = torch.zeros(3, *shape, dtype=torch.float64)
    planes[0] = 0.5 + 0.1 * torch.rand(shape, generator=g, dtype=torch.float64)
    planes[1:] = 1e-3 * torch.randn(2, *shape, generator=g, dtype=torch.float64)
    bordered, planes = bordered.to(dtype), planes.to(dtype)
    out, cost = planes.clone(), torch.zeros(shape, dtype=dtype)
    native = getattr(core, precision)
    # A camera at (-0.1, 0, 0) with focal length 40: what is at inverse depth 0.5 moves by 2 px.
    K = torch.tensor([[40.0, 0, 20], [0, 40, 10], [0, 0, 1]], dtype=torch.float64)
    source = native.StereoSource(
        width=width, height=height, quads=pointer(quads), inverse_depth=0, from_ray=K.flatten().tolist(),
        from_center=[4.0, 0, 0], to_reference=torch.eye(3).flatten().tolist(), to_center=[-4.0, 0, 0],
    )  # fmt: skip
    args = native.StereoArgs(
        width=width, height=height, stride=shape[1], fx=40, fy=40, cx=20, cy=10, image=pointer(bordered),
        planes=pointer(planes), cost=0, noise=0, planes_out=pointer(out), cost_out=pointer(cost), smallest=0.1,
        largest=2, shake=0, color_sigma=30, geometric_weight=0, radius=4, step=2, best=1, sources=[source],
    )  # fmt: skip
    native.stereo_sweep(args)
    assert torch.equal(out, planes), "without costs a sweep moves nothing"
    return cost[margin : margin + height, margin : margin + width].double()


def test_every_instruction_set_finds_the_same_costs() -> None:
    exact = sweep("f64", torch.float64)
    assert 0 <= float(exact.min()) < 0.3 and float(exact.max()) <= 2
    used = core.simd_level()
    try:
        for level in core.simd_levels():
            core.set_simd_level(level)
            # A position's error of 1e-5 px times the largest step between grey values, in an NCC.
            torch.testing.assert_close(sweep("f32", torch.float32), exact, atol=2e-3, rtol=0)
    finally:
        core.set_simd_level(used)


def test_masked_pixels_give_no_points(room: Room) -> None:
    left = np.zeros((180, 240), np.float32)
    left[:, :120] = 1
    images = [replace(room.images[view.name], alpha=left) for view in room.scene.views]
    source = make_source(DenseConfig(), "stereo")
    assert source is not None
    points = source.points(DenseInput(room.scene.views, images, None, 0, lambda done, total: None))
    assert len(points.positions) > 1000
    for view in room.scene.views:
        local = points.positions.double() @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
        # The mean over photos may lie a little beyond one photo's mask.
        assert float((project(local, view.camera.K)[:, 0] < 122).double().mean()) > 0.6


def test_photos_that_share_nothing_give_nothing(room: Room) -> None:
    away = torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64))
    views = [
        room.scene.views[0],
        replace(room.scene.views[1], world_to_camera=away @ room.scene.views[1].world_to_camera),
    ]
    images = [room.images[view.name] for view in room.scene.views[:2]]
    source = make_source(DenseConfig(), "stereo")
    assert source is not None
    points = source.points(DenseInput(views, images, None, 0, lambda done, total: None))
    assert len(points.positions) < 200


def test_sources_and_range(room: Room) -> None:
    views = room.scene.views
    g = torch.Generator().manual_seed(0)
    wall = torch.cat([torch.rand(500, 2, generator=g) - 0.5, torch.zeros(500, 1)], -1)
    chosen = choose_sources(views, wall, 2)
    assert set(chosen[0]) == {1, 2} and set(chosen[3]) == {1, 2}
    low, high = depth_range(wall, views[0])
    assert low < 2.5 and 3.5 < high < 6
    assert torch.equal(scene_points(views, wall), wall.double()), "what is known is kept"
    assumed = scene_points(views, Points(wall[:3], wall[:3]).positions)
    assert len(assumed) > 100, "three points say nothing"
    assert make_source(DenseConfig(), "none") is None


def test_sparse_points_fill_the_gaps(room: Room) -> None:
    g = torch.Generator().manual_seed(0)
    side = torch.arange(0, 1, 0.02)
    patch = torch.stack([*torch.meshgrid(side, side, indexing="ij"), torch.zeros(50, 50)], -1).reshape(-1, 3)
    up = torch.tensor([[0.0, 0, -1]]).expand(2500, 3)
    dense = Points(patch, torch.rand(2500, 3, generator=g), up, torch.full((2500,), 0.01))
    inside, outside = torch.rand(40, 3, generator=g) * torch.tensor([0.9, 0.9, 0]), torch.tensor([[0.0, 0, 2]])
    sparse = Points(torch.cat([inside, outside + 0.1 * torch.rand(10, 3, generator=g)]), torch.zeros(50, 3))
    joined = with_sparse(dense, sparse, room.scene.views)
    assert joined.normals is not None and joined.scales is not None
    assert len(joined.positions) == 2510 and torch.equal(joined.positions[:2500], patch)
    assert bool((joined.positions[2500:, 2] > 1.9).all()) and 0.01 < float(joined.scales[2500:].max()) < 0.2
    assert float((joined.normals[2500:, 2] < 0).double().mean()) == 1, "towards the cameras"
    assert with_sparse(dense, None, room.scene.views) is dense


def test_no_sparse_point_lies_before_the_nearest_surface_of_a_photo(room: Room) -> None:
    view = room.scene.views[0]
    pixels = torch.rand(2000, 2, dtype=torch.float64) * torch.tensor([view.camera.width, view.camera.height])
    wall = view.unproject(pixels, torch.full((2000,), 4.0, dtype=torch.float64)).float()
    up = torch.tensor([[0.0, 0, -1]]).expand(2000, 3)
    dense = Points(wall, torch.rand(2000, 3), up, torch.full((2000,), 1e-4))
    behind, before = (
        view.unproject(pixels[:20], torch.full((20,), z, dtype=torch.float64)).float() for z in (6.0, 2.0)
    )
    sparse = Points(torch.cat([behind, before]), torch.zeros(40, 3))
    joined = with_sparse(dense, sparse, [view])
    assert torch.equal(joined.positions, torch.cat([wall, behind]))
    assert len(with_sparse(dense, sparse, [view], cut_out=True).positions) == 2040


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_finds_the_same_planes(room: Room) -> None:
    there, here = (search(room, StereoConfig(device=device)) for device in ("cuda", "cpu"))
    for a, b in zip(there, here, strict=True):
        # Costs round differently, so now and then another plane wins, and its neighbours take it over.
        same = (a.inverse_depth / b.inverse_depth - 1).abs() < 0.01
        assert float(same.float().mean()) > 0.97
