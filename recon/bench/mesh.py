"""`recon bench mesh`: speed and accuracy of surface extraction, fits and refinement on known shapes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import Tensor

from recon.bench.measure import machine, peak_growth_mb, peak_memory_mb
from recon.bench.report import Report
from recon.errors import ReconError
from recon.geometry import triangles
from recon.mesh.fit import FitConfig, fit_to_mesh, grid_around, start_from_mesh
from recon.mesh.flexicubes import extract
from recon.mesh.parameters import CubeParameters
from recon.mesh.refine import RefineConfig, ViewTarget, refine
from recon.mesh.voxels import VoxelGrid
from recon.render.distance import mean_distance, signed_distance
from recon.render.mesh import antialias, interpolate, rasterize_mesh

LOW, SIDE, EXTENT = torch.full((3,), -1.0), 2.0, 1.8
"""The box, and the longest side of a shape in it: the frame of the published figures."""


@dataclass(frozen=True)
class Options:
    """Extract, fit and refine closed meshes: seconds, mean distances between surfaces, memory."""

    meshes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Closed triangle meshes, such as spot.obj fandisk.obj."""
    resolutions: tuple[int, ...] = (64, 128, 256, 512)
    """Of the speed table."""
    fits: tuple[int, ...] = (32, 64)
    """Resolutions of the fits to geometry; none with no value."""
    images: Path | None = None
    """Folder for pictures of the fitted surfaces."""
    large: int | None = None
    """Also refine at this resolution, such as 1024, by sections under `memory`."""
    memory: str = "5GB"
    """Budget of `large`."""
    out: Path | None = None
    """Folder for mesh.md and mesh.json."""


Shape = tuple[Tensor, Tensor]
SPEED_COLUMNS = (
    "resolution", "voxels", "triangles", "build the lattice, s", "forward, s", "backward, s", "both, s",
    "both, all weights, training, s", "growth in a step, bytes a voxel",
)  # fmt: skip


def main(options: Options) -> None:
    """Print the tables."""
    report = Report(
        f"{machine()}\n\nBox of side {SIDE}, longest side of a shape {EXTENT}; distances are means both ways."
    )
    shapes = {path.stem: _load(path) for path in options.meshes}
    for name, shape in shapes.items():
        rows = [_speed(shape, resolution) for resolution in options.resolutions]
        report.add(SPEED_COLUMNS, rows, f"{name}: extraction")
    rows = [row for name, shape in shapes.items() for row in _accuracy(name, shape, options)]
    columns = ("shape", "from", "resolution", "distance before", "distance", "CPU seconds")
    report.add(columns, rows, "Accuracy")
    if options.large:
        for name, shape in shapes.items():
            _large(report, name, shape, options.large, options.memory)
    report.write(options.out, "mesh")


def _load(path: Path) -> Shape:
    """Vertices [V, 3] float32 in the box, merged across seams, and faces [F, 3]. Raises ReconError unless closed."""
    import trimesh

    mesh: Any = trimesh.load(path, force="mesh", process=True, merge_tex=True, merge_norm=True)
    if not mesh.is_watertight:
        raise ReconError(f"{path}", found="an open mesh", wanted="a closed one: distances need an inside")
    points = np.asarray(mesh.vertices)
    low, high = points.min(0), points.max(0)
    placed = (points - (low + high) / 2) / (high - low).max() * EXTENT
    return torch.from_numpy(placed).float(), torch.from_numpy(np.asarray(mesh.faces))


def _speed(shape: Shape, resolution: int) -> list[object]:
    size = SIDE / resolution
    grid = grid_around(*shape, LOW, size, resolution)
    build = _best(lambda: VoxelGrid.from_coords(grid.coords, grid.origin, grid.voxel_size), 3)
    sdf = signed_distance(grid.corner_positions(), *shape).requires_grad_()
    state = CubeParameters.start(grid, sdf.detach())
    weights = {name: value.requires_grad_() for name, value in state.values.items() if name != "sdf"}
    plain = _passes(lambda: extract(grid, sdf).vertices.sum())
    full = _passes(lambda: _everything(grid, sdf, weights))
    with peak_growth_mb() as grown:
        _everything(grid, sdf, weights).backward()  # type: ignore[no-untyped-call]
    faces = len(extract(grid, sdf.detach()).faces)
    return [resolution, len(grid), faces, build, *plain, sum(plain), sum(full), grown[0] * (1 << 20) / len(grid)]


def _everything(grid: VoxelGrid, sdf: Tensor, weights: dict[str, Tensor]) -> Tensor:
    surface = extract(grid, sdf, training=True, **weights)
    return surface.vertices.sum() + surface.deviation.sum()


def _passes(body: Callable[[], Tensor], repeats: int = 5) -> tuple[float, float]:
    """Least seconds of the forward and of the backward pass."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        out = body()
        middle = time.perf_counter()
        out.backward()  # type: ignore[no-untyped-call]
        times.append((middle - start, time.perf_counter() - middle))
    return min(t[0] for t in times), min(t[1] for t in times)


def _best(body: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return min(times)


def _accuracy(name: str, shape: Shape, options: Options) -> list[list[object]]:
    rows: list[list[object]] = []
    for resolution in options.fits:
        state = start_from_mesh(*shape, LOW, SIDE / resolution, resolution)
        before, start = _distance(state, shape), time.process_time()
        fit_to_mesh(state, *shape, FitConfig())
        rows.append([name, "geometry", resolution, before, _distance(state, shape), time.process_time() - start])
        _picture(options.images, f"{name}-geometry-{resolution}", state)
    if options.fits:
        resolution = max(options.fits)
        state = start_from_mesh(*shape, LOW, SIDE / resolution, resolution)
        targets = orbit(shape, 24, 320)
        before, start = _distance(state, shape), time.process_time()
        refine(state, targets, RefineConfig(iterations=100, depth=10.0))
        rows.append([name, "depth and mask", resolution, before, _distance(state, shape), time.process_time() - start])
        _picture(options.images, f"{name}-views-{resolution}", state)
    return rows


def _large(report: Report, name: str, shape: Shape, resolution: int, memory: str) -> None:
    state = start_from_mesh(*shape, LOW, SIDE / resolution, resolution)
    targets = orbit(shape, 6, 1024)
    start = time.perf_counter()
    refine(state, targets, RefineConfig(iterations=4, depth=10.0), memory=memory)
    seconds = (time.perf_counter() - start) / 4
    faces = len(state.surface().faces)
    columns = ("resolution", "voxels", "triangles", "seconds a step", "peak memory of the process, GB")
    rows = [[resolution, len(state.grid), faces, seconds, peak_memory_mb() / 1000]]
    report.add(columns, rows, f"{name}: refinement under {memory}")


def _distance(state: CubeParameters, shape: Shape) -> float:
    surface = state.surface()
    return mean_distance((surface.vertices, surface.faces), shape)


def camera(eye: Tensor) -> Tensor:
    """[4, 4] world to camera, from `eye` [3] towards the origin."""
    z = -eye / eye.norm()
    x = torch.nn.functional.normalize(torch.linalg.cross(z, torch.tensor([0.0, 1.0, 0.0])), dim=0)
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([x, torch.linalg.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def orbit(shape: Shape, count: int, size: int) -> list[ViewTarget]:
    """Exact masks and depths from cameras spread over a sphere, `size` x `size` pixels."""
    K = torch.tensor([[1.35 * size, 0, size / 2], [0, 1.35 * size, size / 2], [0, 0, 1]])
    out = []
    for i in range(count):
        height, turn = 1 - 2 * (i + 0.5) / count, i * math.pi * (3 - math.sqrt(5))
        ring = math.sqrt(1 - height**2)
        pose = camera(3 * torch.tensor([ring * math.cos(turn), height, ring * math.sin(turn)]))
        seen = rasterize_mesh(*shape, pose, K, size, size)
        mask = antialias(seen.mask.float()[..., None], seen, *shape, pose, K)[..., 0]
        out.append(ViewTarget(pose, K, size, size, mask=mask, depth=seen.depth))
    return out


def _picture(folder: Path | None, name: str, state: CubeParameters) -> None:
    """The surface, lit and flat-shaded."""
    if folder is None:
        return
    import imageio.v3 as imageio

    surface = state.surface()
    normals = triangles.normals(surface.vertices[surface.faces.long()])
    light = torch.nn.functional.normalize(torch.tensor([0.5, 0.8, 0.6]), dim=0)
    shade = (0.25 + 0.75 * (normals @ light).clamp(min=0))[:, None, None].expand(-1, 3, 3)
    size, pose = 640, camera(torch.tensor([1.6, 1.1, 2.2]))
    K = torch.tensor([[1.35 * size, 0, size / 2], [0, 1.35 * size, size / 2], [0, 0, 1]])
    seen = rasterize_mesh(surface.vertices, surface.faces, pose, K, size, size)
    image = interpolate(shade.contiguous(), surface.faces, seen) + (~seen.mask)[..., None]
    image = antialias(image, seen, surface.vertices, surface.faces, pose, K)
    folder.mkdir(parents=True, exist_ok=True)
    imageio.imwrite(folder / f"{name}.png", (image.clamp(0, 1) * 255).round().byte().numpy())
