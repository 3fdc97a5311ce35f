from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from textured_room import make_room, with_splits

from recon.errors import ReconError
from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion, distort, project
from recon.io.images import Image
from recon.poses.features import FeatureConfig, Features, extract_features, undistort_pixels
from recon.poses.matching import MatchConfig, choose_pairs, fundamental_matrix, match_pair
from recon.poses.triangulate import TriangulateConfig, triangulate_points
from recon.scene import Scene

LENSES = [
    Distortion(),
    Distortion("opencv", (0.06, -0.08, -0.001, 0.0002)),
    Distortion("opencv", (0.1, 0.02, 0.001, -0.002, 0.01, 0.05, 0.01, 0.002)),
    Distortion("fisheye", (0.02, -0.01, 0.003, -0.001)),
]


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: f"{lens.model}{len(lens.params)}")
def test_undistorting_inverts_the_lens(lens: Distortion) -> None:
    K = torch.tensor([[900.0, 0, 510], [0, 880, 390], [0, 0, 1]], dtype=torch.float64)
    camera = Camera(1000, 800, K, lens)
    ideal = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    focal, center = K.diagonal()[:2], K[:2, 2]
    found, sound = undistort_pixels(distort(ideal, lens) * focal + center, camera)
    assert bool(sound.all())
    assert torch.allclose(found, ideal * focal + center, atol=1e-6)


def test_pixels_beyond_the_fold_of_a_lens_are_not_sound() -> None:
    # r (1 - 0.5 r^2) has its maximum 0.544 at r = 0.816: no ray is observed at 0.7.
    camera = Camera(1000, 1000, Camera.pinhole(1000, 1000, 500.0).K, Distortion("opencv", (-0.5, 0.0, 0.0, 0.0)))
    _, sound = undistort_pixels(torch.tensor([[500 + 350.0, 500.0], [500 + 100.0, 500.0]]).double(), camera)
    assert sound.tolist() == [False, True]


def test_fundamental_matrix_vanishes_on_projections_of_a_point() -> None:
    room = make_room(2)
    a, b = room.scene.views
    points = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_a, x_b = (
        torch.cat([project(rigid.transform_points(v.world_to_camera, points), v.camera.K), torch.ones(50, 1)], 1)
        for v in (a, b)
    )
    F = fundamental_matrix(a.camera.K, b.camera.K, b.world_to_camera @ rigid.inverse(a.world_to_camera))
    F = F / F.norm()
    residual = ((x_b @ F) * x_a).sum(-1) / (x_a.norm(dim=-1) * x_b.norm(dim=-1))
    assert float(residual.abs().max()) < 1e-12


def test_matches_obey_the_epipolar_line_even_for_equal_descriptors() -> None:
    """Twenty identical descriptors: appearance cannot tell them apart, geometry can."""
    room = make_room(2)
    points = torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    points[:, 2] = 0
    features = []
    for view in room.scene.views:
        pixels = project(rigid.transform_points(view.world_to_camera, points), view.camera.K)
        descriptors = torch.nn.functional.normalize(torch.ones(20, 128), dim=-1)
        features.append(Features(view.camera, pixels, descriptors, torch.zeros(20, 3)))
    a, b = room.scene.views
    motion = b.world_to_camera @ rigid.inverse(a.world_to_camera)
    pairs = match_pair(features[0], features[1], motion, MatchConfig(max_epipolar_error_px=0.5, max_ratio=1.0))
    assert len(pairs) > 0
    assert bool((pairs[:, 0] == pairs[:, 1]).float().mean() > 0.9)


@pytest.mark.parametrize(
    "move", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.7, 0.7, 0.0), (0.02, 0.01, 1.0), (0.3, -0.5, 1.0)]
)
def test_looking_along_lines_finds_what_looking_everywhere_does(move: tuple[float, float, float]) -> None:
    """Epipoles far away, at a corner and within the photo."""
    camera = Camera.pinhole(640, 480, 500.0)
    g = torch.Generator().manual_seed(0)
    size = torch.tensor([640.0, 480.0], dtype=torch.float64)
    a, b = (
        Features(
            camera, size * torch.rand(900, 2, generator=g, dtype=torch.float64),
            torch.nn.functional.normalize(torch.rand(900, 128, generator=g), dim=1), torch.zeros(900, 3),
        )
        for _ in range(2)
    )  # fmt: skip
    motion = rigid.from_rotation_translation(
        rigid.so3_exp(torch.tensor([0.02, -0.1, 0.3], dtype=torch.float64)), torch.tensor(move, dtype=torch.float64)
    )
    lines = torch.cat([a.pixels, torch.ones(900, 1)], 1) @ fundamental_matrix(camera.K, camera.K, motion).T
    off = (lines @ torch.cat([b.pixels, torch.ones(900, 1)], 1).T).abs() / lines[:, :2].norm(dim=1, keepdim=True)
    alike = (a.descriptors @ b.descriptors.T).masked_fill(off > 3.0, -1.0)
    first, forth = alike.max(1)
    mutual = (alike.argmax(0)[forth] == torch.arange(900)) & (first > -1)
    config = MatchConfig(max_epipolar_error_px=3.0, max_ratio=1.0, max_angle=3.0)
    found = match_pair(a, b, motion, config)
    expected = torch.stack([mutual.nonzero().squeeze(1), forth[mutual]], 1)
    # A keypoint whose distance is 3 px to the last digit may fall on either side.
    same = {*map(tuple, found.tolist())} & {*map(tuple, expected.tolist())}
    assert len(expected) > 100 and len(same) >= len(expected) - 2 and len(found) <= len(expected) + 2


def test_pairs_skip_cameras_that_look_apart_and_respect_the_limit() -> None:
    room = make_room(6)
    poses = torch.stack([view.world_to_camera for view in room.scene.views])
    assert len(choose_pairs(poses, 10)) == 15
    nearest_only = choose_pairs(poses, 1)
    assert set(nearest_only) >= {(0, 1), (4, 5)}
    assert all(abs(i - j) <= 2 for i, j in nearest_only)
    turned = poses.clone()
    turned[0] = torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64)) @ poses[0]
    assert all(0 not in pair for pair in choose_pairs(turned, 10))
    up = torch.tensor([0.0, 1.0, 0.0])
    opposite = [rigid.look_at(torch.tensor(eye), torch.zeros(3), up) for eye in ([2.0, 1.0, 0.0], [-2.0, 1.0, 0.0])]
    assert choose_pairs(torch.stack(opposite), 10) == [(0, 1)], "they look at one table from both sides"


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: f"{lens.model}{len(lens.params)}")
def test_points_lie_on_the_wall_and_have_its_colours(lens: Distortion) -> None:
    room = make_room(3, lens)
    points = triangulate_points(room.scene, load=room.load)
    assert len(points.positions) > 300
    # Half a pixel at 400 px focal length, distance 3 and 11 degrees of parallax is 0.02 units of depth.
    assert float(points.positions[:, 2].abs().median()) < 0.01
    assert float((points.positions[:, 2].abs() < 0.1).float().mean()) > 0.95
    view = room.scene.views[1]
    pixels = project(rigid.transform_points(view.world_to_camera, points.positions.double()), view.camera.K)
    focal, center = view.camera.K.diagonal()[:2], view.camera.K[:2, 2]
    pixels = distort((pixels - center) / focal, lens) * focal + center
    inside = (pixels > 1).all(-1) & (pixels < torch.tensor([view.camera.width - 1, view.camera.height - 1])).all(-1)
    x, y = pixels[inside].long().unbind(-1)
    seen = torch.from_numpy(room.images[view.name].rgb)[y, x]
    assert float((seen - points.colors[inside]).abs().mean()) < 0.05


def test_the_result_is_repeatable() -> None:
    room = make_room(3)
    first, second = (triangulate_points(room.scene, seed=4, load=room.load) for _ in range(2))
    assert torch.equal(first.positions, second.positions)
    assert torch.equal(first.colors, second.colors)


def test_test_views_are_not_looked_at() -> None:
    room = make_room(4)

    def load(view: object) -> Image:
        assert view.name != "3.png"  # type: ignore[attr-defined]
        return room.load(view)  # type: ignore[arg-type]

    with_three = triangulate_points(with_splits(room, {"3.png"}), load=load)
    assert len(with_three.positions) > 300


def test_masked_areas_give_no_points() -> None:
    room = make_room(3)
    alpha = np.zeros((360, 480), np.float32)
    alpha[:, :240] = 1
    for name, image in room.images.items():
        room.images[name] = Image(image.rgb, alpha)
    view = room.scene.views[0]
    (features,) = extract_features([view], FeatureConfig(), room.load)
    assert len(features.pixels) > 100
    assert float(features.pixels[:, 0].max()) < 241


def test_photos_without_texture_give_an_empty_cloud() -> None:
    room = make_room(2)
    for name in room.images:
        room.images[name] = Image(np.full((360, 480, 3), 0.5, np.float32), None)
    points = triangulate_points(room.scene, load=room.load)
    assert points.positions.shape == (0, 3)


def test_one_photo_is_a_clear_error() -> None:
    room = make_room(1)
    with pytest.raises(ReconError, match="at least 2"):
        triangulate_points(room.scene, load=room.load)


@pytest.mark.data
@pytest.mark.slow
def test_nine_fox_photos(recon_data: Path) -> None:
    from recon.io.capture import read_capture
    from recon.io.splits import assign_splits

    scene: Scene = read_capture(recon_data / "fox").scene
    scene = assign_splits(scene, 9, None, recon_data / "fox" / "splits.json")
    points = triangulate_points(scene, TriangulateConfig())
    assert len(points.positions) > 8000
    in_front = torch.zeros(len(points.positions))
    for view in scene.split("train"):
        in_front += rigid.transform_points(view.world_to_camera, points.positions.double())[:, 2] > 0
    assert float((in_front >= 2).float().mean()) == 1.0
