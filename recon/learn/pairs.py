"""Damaged renders beside the truth: what the small prior learns from.

One file per scene: a procedural scene is ray traced, a few photos of it are trained on, and at several stages of that
training new views are rendered and put beside their ray-traced truth. Everything follows from the scene's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon.errors import ReconError
from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.priors.small.inputs import layers_of
from recon.priors.surroundings import Drawn, Surroundings
from recon.render.rasterize import rasterize
from recon.scene import Node, Photo, Scene, Splats, View
from recon.splats.config import SplatsConfig

FORMAT = 2
"""Files of another one are made anew."""
REFERENCES = 4
"""Photos that are warped into a new view, the nearest ones."""
LONG = 5000
"""Scenes from this number on are trained for long, the others shortly: their faults are quite different."""


@dataclass(frozen=True)
class Plan:
    """How the scenes of a kind are photographed and trained on; one of each is drawn for a scene."""

    sizes: tuple[tuple[int, int], ...]
    photos: tuple[int, ...]
    iterations: tuple[int, ...]
    new_views: int
    """New views of a scene, each at every stage."""
    stages: tuple[float, ...]
    """Shares of the training after which new views are rendered."""


SHORT_PLAN = Plan(((160, 128), (176, 132), (192, 128), (128, 160)), (3, 3, 4, 6, 6, 9), (300, 500, 800), 6, (0.5, 1.0))
LONG_PLAN = Plan(((240, 180), (256, 192), (192, 240)), (3, 3, 4, 6, 6, 9), (1000, 1500, 2000), 8, (0.45, 0.7, 1.0))


@dataclass(frozen=True)
class Pairs:
    """Pairs of one scene, N of them, all of one size. uint8 stands for [0, 1]."""

    layers: np.ndarray
    """[N, 13, H, W] uint8: what the network sees, see `recon.priors.small.inputs`."""
    depth: np.ndarray
    """[N, H, W] float16, along z, scene units; 0 where nothing is."""
    truth: np.ndarray
    """[N, 3, H, W] uint8: ray traced."""
    stage: np.ndarray
    """[N] float32: the share of the training that was done."""
    photos: int
    """How many photos were trained on."""


def path_of(folder: Path, split: Literal["train", "val"], number: int) -> Path:
    """The file of a scene."""
    return folder / f"{split}-{number:05d}.npz"


def wanted(scenes: int, long: int, validation: int) -> list[tuple[Literal["train", "val"], int]]:
    """Splits and numbers of the scenes to make, mixed, so that a part of them is of use.

    `scenes` that are trained shortly and `long` ones to learn from; of `validation` ones every second is a long one.
    """
    marks: list[tuple[float, Literal["train", "val"], int]] = []
    marks += [((k + 1) / scenes, "train", k) for k in range(scenes)]
    marks += [((k + 1) / long, "train", LONG + k) for k in range(long)]
    numbers = [(0 if k % 2 else LONG) + k // 2 for k in range(validation)]
    marks += [((k + 0.5) / validation, "val", number) for k, number in enumerate(numbers)]
    return [(split, number) for _, split, number in sorted(marks)]


def read_pairs(path: Path) -> Pairs:
    """The pairs in a file of `write_pairs`. Raises ReconError for another format."""
    with np.load(path) as file:
        if int(file["format"]) != FORMAT:
            raise ReconError(f"{path}", found=f"format {int(file['format'])}", wanted=FORMAT, fix="make it anew")
        return Pairs(file["layers"], file["depth"], file["truth"], file["stage"], int(file["photos"]))


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write in one piece, so that a file which is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".tmp.npz")
    np.savez_compressed(
        making, format=FORMAT, layers=pairs.layers, depth=pairs.depth, truth=pairs.truth, stage=pairs.stage,
        photos=pairs.photos,
    )  # fmt: skip
    making.replace(path)


def fill(folder: Path, scenes: Sequence[tuple[Literal["train", "val"], int]], workers: int) -> None:
    """Make and write the pairs of `scenes` that are not in `folder` yet, `workers` at a time, each on one thread."""
    from rich.progress import track

    left = [(folder, split, number) for split, number in scenes if not path_of(folder, split, number).is_file()]
    # Spawned, because a fork of a process whose threads have run hangs in OpenMP.
    with get_context("spawn").Pool(workers) as pool:
        for _ in track(pool.imap(_make_file, left), "pairs", len(left)):
            pass


def _make_file(task: tuple[Path, Literal["train", "val"], int]) -> None:
    folder, split, number = task
    torch.set_num_threads(1)
    write_pairs(path_of(folder, split, number), make_pairs(number, split))


def make_pairs(number: int, split: Literal["train", "val"]) -> Pairs:
    """The pairs of scene `number`: of a familiar one to learn from, of a novel one to validate on.

    About 8 s on one thread of a CPU, 30 s for one that is trained for long. The result depends on the arguments alone.
    """
    from recon_datasets.varied import familiar, novel

    random = np.random.default_rng([number, 21 if split == "train" else 22])
    model = familiar(number) if split == "train" else novel(number)
    plan = LONG_PLAN if number >= LONG else SHORT_PLAN
    width, height = plan.sizes[random.integers(len(plan.sizes))]
    count = int(random.choice(plan.photos))
    iterations = int(random.choice(plan.iterations))
    scene, images, truth = _capture(model, width, height, count, plan.new_views, random)
    layers, depths, targets, stages = [], [], [], []
    for stage, surroundings in training_stages(scene, images, iterations, plan.stages, number):
        for view in scene.split("test"):
            request = surroundings.request(view)
            layers.append(_bytes(layers_of(request)))
            depths.append(request.depth.half().numpy())
            targets.append(truth[view.name].transpose(2, 0, 1))
            stages.append(stage)
    return Pairs(np.stack(layers), np.stack(depths), np.stack(targets), np.array(stages, np.float32), count)


def _capture(
    model: object, width: int, height: int, count: int, new_views: int, random: np.random.Generator
) -> tuple[Scene, dict[str, Image], dict[str, np.ndarray]]:
    """A scene with `count` training views and up to `new_views` others, the training photos, and the others' truth."""
    from recon_datasets import cameras_of, render_view

    layout = ("arc", "arc", "orbit", "forward")[random.integers(4)]
    seed = int(random.integers(1 << 20))
    total = 4 * count + 1
    cameras = cameras_of(model, total, width, height, seed, layout)  # type: ignore[arg-type]
    new = [k for k in range(total) if k % 4 != 2]  # three between neighbours, and two beyond either end
    test = set(random.choice(new, min(new_views, len(new)), replace=False).tolist())
    views, images, truth = [], {}, {}
    for k, camera in enumerate(cameras):
        if k % 4 != 2 and k not in test:
            continue
        rgb = render_view(model, camera, 4, seed=k).rgb  # type: ignore[arg-type]
        name = f"{k:04d}.png"
        pinhole = Camera(width, height, torch.from_numpy(camera.K))
        split: Literal["train", "test"] = "test" if k in test else "train"
        views.append(View(name, pinhole, torch.from_numpy(camera.world_to_camera), Photo(Path(name)), split))
        if k in test:
            truth[name] = rgb
        else:
            images[name] = Image(rgb.astype(np.float32) / 255, None)
    return Scene(tuple(views)), images, truth


def training_stages(
    scene: Scene, images: dict[str, Image], iterations: int, stages: Sequence[float], seed: int
) -> Iterator[tuple[float, Surroundings]]:
    """Train on the photos; yield the share that is done, and what is there, at `stages`."""
    from recon.poses.dense import DenseConfig, DenseInput, make_source
    from recon.poses.dense.union import with_sparse
    from recon.poses.known import with_points
    from recon.splats.optimize import begin, finished_splats

    scene = with_points(scene, seed=seed, load=lambda view: images[view.name])
    views, dense = scene.split("train"), DenseConfig()
    source = make_source(dense, "stereo")
    assert source is not None
    points = source.points(DenseInput(views, [images[view.name] for view in views], scene.points, seed, _quiet))
    if len(points.positions) >= dense.min_points:
        scene = scene.with_node(Node("points", with_sparse(points, scene.points, views), kind="scene"))
    config = SplatsConfig(iterations=iterations, sh_interval=min(300, iterations // 6))
    loop, _ = begin(scene, config, seed=seed, images=images)
    photos = [(torch.from_numpy(images[view.name].rgb), None, view) for view in views]
    marks = {round(stage * iterations) for stage in stages}
    while loop.state.iteration < iterations:
        loop.iterate(False)
        if loop.state.iteration in marks:
            splats = finished_splats(loop.state)
            yield loop.state.iteration / iterations, Surroundings(photos, partial(_draw, splats), REFERENCES)


@torch.no_grad()
def _draw(splats: Splats, view: View) -> Drawn:
    """The splats over black. Photos are warped by the median depth: the mean of two surfaces lies on neither."""
    camera = view.camera
    render = rasterize(
        splats.params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height,
        family=splats.family, background=torch.zeros(3), median_depth=True,
    )  # fmt: skip
    assert render.median_depth is not None
    return Drawn(render.color.clamp(0, 1), render.alpha, render.median_depth)


def _quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _bytes(values: Tensor) -> np.ndarray:
    """[0, 1] to uint8."""
    return (values.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
