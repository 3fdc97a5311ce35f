"""Fits to geometry and to views, subdivision between levels, and sections under a memory budget."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from test_distance import CUBE, FACES
from topology import topology
from torch import Tensor

from recon.errors import ReconError
from recon.mesh.fit import FitConfig, fit_to_mesh, grid_around, start_from_mesh
from recon.mesh.flexicubes import extract
from recon.mesh.parameters import CubeParameters, section, surface_of
from recon.mesh.refine import RefineConfig, ViewTarget, compare, refine, refine_levels
from recon.mesh.sections import capacity, choose_section, fits, parse_memory
from recon.mesh.space import Space
from recon.mesh.voxels import VoxelGrid
from recon.render.distance import mean_distance
from recon.render.mesh import antialias, interpolate, opposite_vertices, rasterize_mesh

LOW = torch.full((3,), -1.0)


def blob() -> tuple[Tensor, Tensor]:
    """An asymmetric closed shape."""
    grid = VoxelGrid.dense(48, LOW, 2 / 48)
    x, y, z = grid.corner_positions().T
    surface = extract(grid, (x**2 + 1.5 * y**2 + (z - 0.2 * x) ** 2).sqrt() - 0.6 - 0.08 * torch.sin(4 * x + 2 * y))
    return surface.vertices, surface.faces


def look_at_origin(eye: Tensor) -> Tensor:
    z = -eye / eye.norm()
    x = torch.linalg.cross(z, torch.tensor([0.0, 1.0, 0.1]))
    x = x / x.norm()
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([x, torch.linalg.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def views(vertices: Tensor, faces: Tensor, count: int, size: int = 96) -> list[ViewTarget]:
    """Exact masks, depths, normals and colours from all around."""
    out = []
    K = torch.tensor([[1.3 * size, 0, size / 2], [0, 1.3 * size, size / 2], [0, 0, 1]])
    corners = vertices[faces.long()]
    normals = torch.nn.functional.normalize(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
    )
    for i in range(count):
        height, turn = 1 - 2 * (i + 0.5) / count, i * 2.4
        ring = math.sqrt(1 - height**2)
        pose = look_at_origin(torch.tensor([ring * math.cos(turn), height, ring * math.sin(turn)]) * 3)
        seen = rasterize_mesh(vertices, faces, pose, K, size, size)
        mask = antialias(seen.mask.float()[..., None], seen, vertices, faces, pose, K)[..., 0]
        normal = normals[seen.face_ids.clamp(min=0).long()] * seen.mask[..., None]
        photo = interpolate((vertices + 1) / 2, faces, seen)
        out.append(ViewTarget(pose, K, size, size, mask=mask, depth=seen.depth, normal=normal, photo=photo))
    return out


def ball(radius: float, resolution: int = 24) -> CubeParameters:
    """A start that is wrong by some voxels."""
    grid = VoxelGrid.dense(resolution, LOW, 2 / resolution)
    positions = grid.corner_positions()
    return CubeParameters.start(grid, positions.norm(dim=1) - radius, (positions * 0 + 0.5))


def error(state: CubeParameters, vertices: Tensor, faces: Tensor) -> float:
    surface = state.surface()
    return mean_distance((surface.vertices, surface.faces), (vertices, faces), 20_000)


def test_cube_recovers_its_corners() -> None:
    """At 16^3, turned off the axes' places: sharp corners within 0.02 voxels after fitting."""
    vertices = (CUBE.float() - 0.5) * 1.13 + 0.017
    start = start_from_mesh(vertices, FACES, LOW, 2 / 16, 16)
    fit_to_mesh(start, vertices, FACES, FitConfig(iterations=300, samples=8000))
    surface = start.surface()
    away = torch.cdist(vertices, surface.vertices).amin(1) / start.grid.voxel_size
    assert float(away.max()) <= 0.02, away


def test_fit_improves_on_exact_distances() -> None:
    vertices, faces = blob()
    start = start_from_mesh(vertices, faces, LOW, 2 / 16, 16)
    before = error(start, vertices, faces)
    fit_to_mesh(start, vertices, faces, FitConfig(iterations=60, samples=5000))
    assert error(start, vertices, faces) < 0.3 * before
    assert topology(start.surface().faces).boundary_edges == 0


def test_grid_around_holds_the_surface() -> None:
    vertices, faces = blob()
    grid = grid_around(vertices, faces, LOW, 2 / 64, 64)
    coords = ((vertices + 1) / (2 / 64)).floor().to(torch.int64)
    assert bool((grid.find(coords) >= 0).all()) and len(grid) < 0.15 * 64**3


@pytest.mark.parametrize("kept", ["mask", "depth", "normal", "all"])
def test_views_pull_the_surface_into_place(kept: str) -> None:
    vertices, faces = blob()
    targets = views(vertices, faces, 8)
    for name in ("mask", "depth", "normal", "photo"):
        if kept not in ("all", name):
            targets = [replace(target, **{name: None}) for target in targets]
    start = ball(0.6)
    before = error(start, vertices, faces)
    config = RefineConfig(iterations=60, normal=1.0 if kept == "normal" else 0.1)
    refine(start, targets, config)
    after = error(start, vertices, faces)
    # Normals alone say little about place; masks alone nothing about hollows.
    assert after < {"mask": 0.4, "depth": 0.15, "normal": 0.9, "all": 0.15}[kept] * before, (before, after)
    if kept == "all":
        assert float((start.values["colors"] - 0.5).abs().max()) > 0.1


def test_refinement_is_repeatable() -> None:
    targets = views(*blob(), 4, 48)
    a, b = (refine(ball(0.6, 12), targets, RefineConfig(iterations=5)) for _ in range(2))
    assert all(torch.equal(a.values[name], b.values[name]) for name in a.values)


def test_levels_keep_the_surface() -> None:
    start = ball(0.6)
    finer = start.subdivided()
    assert finer.grid.voxel_size == start.grid.voxel_size / 2
    surface = finer.surface()
    assert topology(surface.faces).boundary_edges == 0
    assert abs(float(surface.vertices.norm(dim=1).mean()) - 0.6) < 0.005
    assert len(finer.grid) < 0.5 * 8 * len(start.grid)


def test_coarse_to_fine_reaches_what_the_budget_holds() -> None:
    vertices, faces = blob()
    targets = views(vertices, faces, 8)
    seen: list[int] = []
    config = RefineConfig(iterations=25, views_per_step=2)
    found = refine_levels(ball(0.6, 12), targets, config, 2 / 24, progress=lambda step, _: seen.append(step))
    assert found.grid.voxel_size == pytest.approx(2 / 24) and seen == list(range(1, 51))
    assert error(found, vertices, faces) < 0.15 * found.grid.voxel_size
    small = refine_levels(ball(0.6, 12), targets, replace(config, iterations=1), 2 / 96, memory="8MB")
    assert 2 / 96 < small.grid.voxel_size < 2 / 12


def test_sections_do_the_work_of_the_whole() -> None:
    """With a budget below the lattice's need, every step moves a section, and the surface still comes into place."""
    vertices, faces = blob()
    targets = views(vertices, faces, 8)
    start = start_from_mesh(vertices, faces, LOW, 2 / 48, 48)
    start.values["sdf"] = start.values["sdf"] + 0.4
    before = error(start, vertices, faces)
    budget = "9MB"
    assert not fits(start, budget) and fits(start, "4GB")
    room = capacity(start, budget)
    part = choose_section(start, targets[0].world_to_camera, targets[0].K, (96, 96), budget, Space.plain())
    assert 0 < len(part.grid) <= room < len(start.grid)
    refine(start, targets, RefineConfig(iterations=64), memory=budget)
    assert error(start, vertices, faces) < 0.5 * before
    assert topology(start.surface().faces).non_manifold_edges == 0


def test_a_section_moves_only_its_rows() -> None:
    start = ball(0.6, 12)
    keep = start.grid.centers()[:, 0] > 0.2
    part = section(start.grid, keep, keep)
    assert torch.equal(start.grid.corners[part.corners], part.grid.corners)
    before = start.values["sdf"].clone()
    leaves = start.leaves(part)
    leaves["sdf"].sum().backward()
    start.step(leaves, {"sdf": 0.1}, part)
    moved = start.values["sdf"] != before
    assert torch.equal(moved.nonzero()[:, 0], part.corners.sort().values)


def test_inside_is_seen_through_the_near_plane() -> None:
    """A hollow that no outside view shows is shaped by depths behind a near plane."""
    grid = VoxelGrid.dense(24, LOW, 2 / 24)
    radius = grid.corner_positions().norm(dim=1)

    def shell(hollow: float) -> Tensor:
        return torch.maximum(radius - 0.75, hollow - radius)

    truth = extract(grid, shell(0.4))
    targets = []
    for target in views(truth.vertices, truth.faces, 8, 64):
        seen = rasterize_mesh(truth.vertices, truth.faces, target.world_to_camera, target.K, 64, 64, near=3.0)
        targets.append(ViewTarget(target.world_to_camera, target.K, 64, 64, depth=seen.depth, near=3.0))
    start = CubeParameters.start(grid, shell(0.3))
    refine(start, targets, RefineConfig(iterations=60))
    inner = start.surface().vertices.norm(dim=1)
    assert abs(float(inner[inner < 0.55].mean()) - 0.4) < 0.02


def test_bad_input_is_named() -> None:
    start = ball(0.6, 8)
    good = views(*blob(), 1, 16)[0]
    with pytest.raises(ReconError, match="no views"):
        refine(start, [], RefineConfig())
    with pytest.raises(ReconError, match="nothing to compare"):
        refine(start, [ViewTarget(good.world_to_camera, good.K, 16, 16)], RefineConfig())
    assert good.depth is not None
    with pytest.raises(ReconError, match="not finite"):
        refine(start, [replace(good, depth=good.depth * torch.nan)], RefineConfig())
    with pytest.raises(ReconError, match="16 rows"):
        refine(start, [replace(good, depth=torch.zeros(3, 3))], RefineConfig())
    with pytest.raises(ReconError, match="at least"):
        refine(ball(0.6, 32), [good], RefineConfig(), memory="1MB")
    with pytest.raises(ReconError, match="no surface"):
        refine(CubeParameters.start(start.grid, torch.ones(len(start.grid.corners))), [good], RefineConfig())
    for text in ("4", "-1GB", "0GB", "lots"):
        with pytest.raises(ReconError, match=r"mesh\.memory"):
            parse_memory(text)


def test_pixels_that_do_not_count_have_no_say_in_colours() -> None:
    (view,) = views(*blob(), 1)
    assert view.photo is not None
    counts = torch.ones(view.height, view.width)
    counts[: view.height // 2] = 0
    spoilt = view.photo.clone()
    spoilt[: view.height // 2 - 12] = 1  # a window of SSIM reaches five pixels over the border
    start = ball(0.6)
    surface = surface_of(start.grid, start.values, training=True)
    colors = torch.full_like(surface.vertices, 0.5)
    opposite = opposite_vertices(surface.faces, len(surface.vertices))

    def loss(photo: Tensor, weight: Tensor | None) -> float:
        return float(compare(surface, opposite, colors, replace(view, photo=photo, weight=weight), RefineConfig(), 1.0))

    # A millionth of every pixel counts, so that the weights never sum to 0.
    assert loss(spoilt, counts) == pytest.approx(loss(view.photo, counts), abs=1e-4)
    assert loss(spoilt, None) > loss(view.photo, None) + 0.01
