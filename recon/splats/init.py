"""Where primitives start: at the scene's points, or anywhere when it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from recon.config import config
from recon.events import Listener, StageWarning
from recon.geometry.neighbors import nearest_centers, neighbor_distances
from recon.scene.nodes import Points, View
from recon.scene.scene import Scene
from recon.splats.families import Seeds


@config
class InitConfig:
    """How many primitives to start with, where and how large."""

    file: Path | None = None
    """Splats to start from instead of points: a file that `recon import` reads, or a folder with a scene of recon. They
    must lie in the scene's coordinates. `init: FILE` is short for this."""
    opacity: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Opacity of every primitive; by default 0.3 at dense points, which know the size of their patch, else 0.1."""
    neighbors: Annotated[int, Field(ge=1)] = 3
    """A primitive's size is the root mean square distance to this many nearest points."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor on that size."""
    max_size: Annotated[float, Field(gt=0)] = 0.1
    """Largest size, times the distance to the nearest camera: a lone far point does not become a wall."""
    midpoint_rounds: Annotated[int, Field(ge=0, le=4)] = 0
    """How often to add a point between each point and its nearest neighbours, as FSGS (Zhu et al. 2024) does."""
    midpoint_gap: Annotated[float, Field(ge=0)] = 0.0
    """Dense points get one only where they lie further apart than the sum of their sizes times this."""
    min_points: Annotated[int, Field(ge=1)] = 50
    """With fewer points than this the start is random."""
    random_points: Annotated[int, Field(ge=1)] = 20_000
    """Number of random points where the scene has none."""


def initial_seeds(
    scene: Scene, config: InitConfig, generator: torch.Generator, events: Listener, stage: str = "splats"
) -> Seeds:
    """Positions, colours and sizes of the first primitives.

    Says so with a `StageWarning` when it has to fall back on random positions.
    """
    points = scene.points
    usable = None if points is None else _finite(points)
    if usable is None or len(usable.positions) < config.min_points:
        count = 0 if usable is None else len(usable.positions)
        events(
            StageWarning(
                stage,
                f"the scene has {count} points (at least {config.min_points} wanted): starting from "
                f"{config.random_points} random points within the cameras' view; expect a much worse result",
            )
        )
        usable = random_points(scene.split("train"), scene.extent(), config.random_points, generator)
    for _ in range(config.midpoint_rounds):
        usable = with_midpoints(usable, config.neighbors, config.midpoint_gap)
    positions, colors = usable.positions.float(), usable.colors.float()
    scales = neighbor_distances(positions, config.neighbors) if usable.scales is None else usable.scales.float()
    radii = scales * config.scale
    centers = torch.stack([view.center for view in scene.split("train")]).float()
    nearest, sight = nearest_centers(positions, centers)
    normals = sight if usable.normals is None else usable.normals.float()
    # Points in one place have no distance; a size of 0 would have a logarithm of minus infinity.
    smallest = 1e-6 * scene.extent()
    return Seeds(
        positions,
        colors,
        radii.minimum(config.max_size * nearest).clamp_min(smallest),
        torch.nn.functional.normalize(normals, dim=-1),
        nearest.clamp_min(smallest),
    )


def starts_dense(scene: Scene) -> bool:
    """Whether the scene's points stand for patches of surfaces rather than for keypoints."""
    return scene.points is not None and scene.points.scales is not None


def initial_opacity(scene: Scene, config: InitConfig) -> float:
    """Opacity of the first primitives, in (0, 1)."""
    if config.opacity is not None:
        return config.opacity
    return 0.3 if starts_dense(scene) else 0.1


def with_midpoints(points: Points, neighbors: int, gap: float = 0.0) -> Points:
    """The points and one more halfway to each of their nearest neighbours, every pair once.

    gap: those that know their sizes only where they lie further apart than the sum of these times this. What is added
    there reaches halfway to both.
    """
    from scipy.spatial import cKDTree

    count = min(neighbors, len(points.positions) - 1)
    if count < 1:
        return points
    array = points.positions.double().numpy()
    _, indices = cKDTree(array).query(array, k=count + 1)
    pairs = np.stack([np.repeat(np.arange(len(array)), count), indices[:, 1:].reshape(-1)], axis=1)
    a, b = torch.from_numpy(np.unique(np.sort(pairs, axis=1), axis=0)).unbind(1)
    distances, scales = (points.positions[a] - points.positions[b]).norm(dim=-1), points.scales
    if scales is not None:
        wide = distances > gap * (scales[a] + scales[b])
        a, b, distances = a[wide], b[wide], distances[wide]
        scales = torch.cat([scales, distances / 4])

    def extended(values: Tensor) -> Tensor:
        return torch.cat([values, (values[a] + values[b]) / 2])

    normals = None if points.normals is None else extended(points.normals)
    return Points(extended(points.positions), extended(points.colors), normals, scales)


def random_points(views: tuple[View, ...], extent: float, count: int, generator: torch.Generator) -> Points:
    """Grey points in what the cameras see, uniform in the image and in inverse depth from 0.5 to 10 extents."""
    which = torch.randint(len(views), (count,), generator=generator)
    uniform = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    depths = extent / (2.0 * (1 - uniform[:, 2]) + 0.1 * uniform[:, 2])
    positions = torch.empty(count, 3, dtype=torch.float64)
    for index, view in enumerate(views):
        rows = which == index
        size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float64)
        positions[rows] = view.unproject(uniform[rows, :2] * size, depths[rows])
    return Points(positions.float(), torch.full((count, 3), 0.5))


def _finite(points: Points) -> Points:
    good = points.positions.isfinite().all(-1) & points.colors.isfinite().all(-1)
    if bool(good.all()):
        return points
    return Points(
        points.positions[good],
        points.colors[good],
        None if points.normals is None else points.normals[good],
        None if points.scales is None else points.scales[good],
    )
