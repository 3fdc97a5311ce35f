"""The mesh renderer: against a brute-force twin, and its derivatives against differences in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recon.render.mesh import antialias, homogeneous_pixels, interpolate, opposite_vertices, rasterize_mesh
from recon.render.texture import sample_texture, texel_footprint

WIDTH, HEIGHT, NEAR = 48, 40, 0.1


def soup(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crossing triangles, some of which reach behind the camera: vertices, faces, pose, K."""
    rng = torch.Generator().manual_seed(0)
    vertices = torch.randn(12, 3, generator=rng, dtype=dtype)
    faces = torch.stack([torch.randperm(12, generator=rng)[:3] for _ in range(8)])
    pose = torch.eye(4, dtype=dtype)
    pose[2, 3] = 1.5
    return vertices, faces, pose, torch.tensor([[40.0, 0.5, 24], [0, 38, 20], [0, 0, 1]], dtype=dtype)


def octahedron() -> tuple[Tensor, Tensor]:
    vertices = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    return vertices.double(), torch.tensor(faces)


def brute_force(q: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Ids and depths by solving for every triangle and pixel."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1).to(q.dtype)
    best, ids = torch.full((HEIGHT, WIDTH), torch.inf, dtype=q.dtype), torch.full((HEIGHT, WIDTH), -1)
    for f, corners in enumerate(q[faces]):
        # z p = sum b_i q_i with sum b_i = 1
        b = torch.linalg.solve(corners.T, rays[..., None])[..., 0]
        z = 1 / b.sum(-1)
        hit = (b * z[..., None] >= 0).all(-1) & (z >= NEAR) & (z < best)
        best, ids = torch.where(hit, z, best), torch.where(hit, f, ids)
    return ids, torch.where(ids >= 0, best, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_brute_force_twin(dtype: torch.dtype) -> None:
    vertices, faces, pose, K = soup()
    ids, depth = brute_force(homogeneous_pixels(vertices, pose, K), faces)
    found = rasterize_mesh(vertices.to(dtype), faces, pose, K, WIDTH, HEIGHT, near=NEAR)
    # In single precision a pixel on an edge may fall on either side.
    assert float((found.face_ids != ids).double().mean()) <= (0.002 if dtype == torch.float32 else 0)
    same = found.face_ids == ids
    torch.testing.assert_close(found.depth.double()[same], depth[same], rtol=1e-4, atol=1e-5)
    positions = interpolate(vertices.to(dtype), faces, found)
    camera_z = (positions.double() @ pose[2, :3] + pose[2, 3])[found.mask]
    torch.testing.assert_close(camera_z, found.depth.double()[found.mask], rtol=1e-4, atol=1e-5)
    assert int(found.starts[-1]) == int(found.mask.sum()) == len(set(found.pixels.tolist()))


def test_shared_edges_leave_no_gap_and_threads_do_not_matter() -> None:
    """A fan of slivers whose edges pass exactly through pixel centres covers each pixel of the square."""
    n = 16
    steps = [[t, 0] for t in range(n)] + [[n, t] for t in range(n)]
    rim = steps + [[n - x, n - y] for x, y in steps]
    vertices = torch.tensor([[8.5, 8.5], *rim], dtype=torch.float32)
    vertices = torch.cat([vertices, torch.ones(len(vertices), 1)], 1)
    faces = torch.tensor([[0, 1 + i, 1 + (i + 1) % len(rim)] for i in range(len(rim))])
    threads = torch.get_num_threads()
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(rasterize_mesh(vertices, faces, torch.eye(4), torch.eye(3), n, n).face_ids)
    torch.set_num_threads(threads)
    assert bool((found[0] >= 0).all()) and torch.equal(found[0], found[1])


@pytest.mark.parametrize("smooth", [False, True], ids=["plain", "antialiased"])
@pytest.mark.parametrize("per_corner", [False, True], ids=["per-vertex", "per-corner"])
def test_gradients_equal_differences(smooth: bool, per_corner: bool) -> None:
    """By vertices, pose, K and attributes, near-plane cuts included, where coverage does not change."""
    vertices, faces, pose, K = soup()
    rng = torch.Generator().manual_seed(1)
    shape = (len(faces), 3, 4) if per_corner else (len(vertices), 4)
    attributes = torch.randn(shape, generator=rng, dtype=torch.float64)
    weights = torch.randn(HEIGHT, WIDTH, 5, generator=rng, dtype=torch.float64)
    inputs = [vertices, pose, K, attributes]

    def run(values: list[Tensor]) -> tuple[Tensor, Tensor]:
        v, w, k, a = values
        fragments = rasterize_mesh(v, faces, w, k, WIDTH, HEIGHT, near=NEAR)
        image = torch.cat([interpolate(a, faces, fragments), fragments.depth[..., None]], -1)
        if smooth:
            image = antialias(image, fragments, v, faces, w, k)
        return (image * weights).sum(), fragments.face_ids

    leaves = [x.clone().requires_grad_() for x in inputs]
    loss, ids = run(leaves)
    loss.backward()
    checked = 0
    for which, leaf in enumerate(leaves):
        for i in range(leaf.numel()):
            ends = []
            for step in (1e-7, -1e-7):
                moved = [x.clone() for x in inputs]
                moved[which].view(-1)[i] += step
                value, moved_ids = run(moved)
                if torch.equal(moved_ids, ids):
                    ends.append(value)
            if len(ends) < 2:
                continue
            checked += 1
            difference = (ends[0] - ends[1]) / 2e-7
            torch.testing.assert_close(leaf.grad.view(-1)[i], difference, rtol=1e-4, atol=1e-5)
    assert checked > 80


def test_antialiased_area_follows_the_silhouette() -> None:
    """The sum of an antialiased mask is the projected area, and its gradient that of the area."""
    vertices, faces = octahedron()
    K = torch.tensor([[100.0, 0, 50.3], [0, 100, 49.6], [0, 0, 1]], dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)
    pose[2, 3] = 6
    angle = torch.tensor(0.3, dtype=torch.float64)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]], dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    placed = vertices @ turn.T * scale
    fragments = rasterize_mesh(placed, faces, pose, K, 100, 100)
    mask = antialias(fragments.mask.double()[..., None], fragments, placed, faces, pose, K)
    area = mask.sum()
    (gradient,) = torch.autograd.grad(area, scale)
    true = 2 * (100 / 6) ** 2  # a square with diagonals of two units
    assert abs(float(area.detach()) - true) < 0.003 * true
    # At the square's four corners an edge ends between two rows of centres, whose pairs then miss it.
    assert abs(float(gradient) - 2 * true) < 0.05 * 2 * true


def test_opposite_vertices_and_boundaries() -> None:
    _, faces = octahedron()
    opposite = opposite_vertices(faces, 6)
    assert opposite[0].tolist() == [1, 3, 5]
    assert opposite_vertices(faces[:1], 6).tolist() == [[-1, -1, -1]]


def test_near_plane_cuts_a_solid_open() -> None:
    vertices, faces = octahedron()
    K = torch.tensor([[40.0, 0, 24], [0, 40, 20], [0, 0, 1]], dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)
    pose[2, 3] = 3
    depth = rasterize_mesh(vertices, faces, pose, K, WIDTH, HEIGHT, near=3.0).depth
    assert float(depth[20, 24]) > 3.9, "the far side is seen through the cut"


def test_texture_filters() -> None:
    rng = torch.Generator().manual_seed(2)
    texture = torch.rand(8, 16, 3, generator=rng, dtype=torch.float64)
    centres = torch.stack(torch.meshgrid((torch.arange(16) + 0.5) / 16, (torch.arange(8) + 0.5) / 8, indexing="xy"), -1)
    torch.testing.assert_close(sample_texture(texture, centres.double()), texture)
    small = sample_texture(texture, centres.double()[::4, ::4], torch.full((2, 4), 8.0), filter="mip")
    left = texture[:, :8].mean((0, 1))
    torch.testing.assert_close(small[0, 0], left)
    with pytest.raises(ValueError, match="mip needs"):
        sample_texture(texture, centres.double(), filter="mip")


def test_footprint_of_a_plane() -> None:
    """A square of 64 texels over 16 pixels: four texels a pixel."""
    vertices = torch.tensor([[0.0, 0, 1], [16, 0, 1], [16, 16, 1], [0, 16, 1]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = vertices[:, :2] / 16
    fragments = rasterize_mesh(vertices, faces, torch.eye(4), torch.eye(3), 16, 16)
    found = texel_footprint(uv, faces, fragments, vertices, torch.eye(4), torch.eye(3), torch.tensor([64, 64]))
    torch.testing.assert_close(found, torch.full((16, 16), 4.0, dtype=torch.float64))


def test_odd_meshes() -> None:
    vertices, faces, pose, K = soup()
    empty = rasterize_mesh(vertices, faces[:0], pose, K, 4, 3)
    assert not bool(empty.mask.any()) and interpolate(vertices, faces[:0], empty).abs().sum() == 0
    vertices[faces[0, 0]] = torch.nan
    found = rasterize_mesh(vertices, faces, pose, K, WIDTH, HEIGHT)
    assert bool(torch.isfinite(found.depth).all())
    flat = rasterize_mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), torch.eye(4), torch.eye(3), 4, 4)
    assert not bool(flat.mask.any())
    with pytest.raises(ValueError, match="name vertices"):
        rasterize_mesh(vertices, faces + 5, pose, K, 4, 4)
