"""nerfstudio's photos and cameras as a scene, and its cameras as views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.events import Listener, StageWarning
from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.io.images import Image
from recon.poses.dense import DenseConfig, DenseInput, choose_dense, make_source
from recon.poses.dense.union import with_sparse
from recon.poses.known import with_points
from recon.scene import Node, Photo, Points, Scene, View

_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def world_to_camera(camera: Any, index: int = 0) -> Tensor:
    """[4, 4] float64, OpenCV axes, of one of nerfstudio's cameras (OpenGL camera to world, [C, 3, 4])."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = camera.camera_to_worlds[index].detach().cpu().double()
    return rigid.inverse(pose @ _FLIP)


def lens(camera: Any, index: int = 0) -> Camera:
    """Its pinhole; photos are undistorted by nerfstudio before they arrive."""
    fx, fy, cx, cy = (float(getattr(camera, name)[index]) for name in ("fx", "fy", "cx", "cy"))
    return Camera.pinhole(int(camera.width[index]), int(camera.height[index]), fx, fy, cx, cy)


def photo(batch: dict[str, Any]) -> Image:
    """A cached photo with its mask."""
    pixels = batch["image"].detach().cpu()
    values = pixels.numpy().astype(np.float32) / (255 if pixels.dtype == torch.uint8 else 1)
    alpha = values[..., 3] if values.shape[2] == 4 else None
    if "mask" in batch:
        mask = batch["mask"].detach().cpu().numpy()[..., 0].astype(np.float32)
        alpha = mask if alpha is None else alpha * mask
    return Image(np.ascontiguousarray(values[..., :3]), alpha)


def training_scene(datamanager: Any, seed_points: tuple[Tensor, Tensor] | None) -> tuple[Scene, dict[str, Image]]:
    """Training views and photos in nerfstudio's coordinates, with the points that came with the data."""
    cached = datamanager.cached_train  # undistorts, and with it changes the cameras
    cameras = datamanager.train_dataset.cameras
    names = [f"{index:05d}-{Path(name).name}" for index, name in enumerate(datamanager.train_dataset.image_filenames)]
    views = tuple(
        View(name, lens(cameras, index), world_to_camera(cameras, index), Photo(Path(path)))
        for index, (name, path) in enumerate(zip(names, datamanager.train_dataset.image_filenames, strict=True))
    )
    scene = Scene(views)
    if seed_points is not None and len(seed_points[0]):
        points = Points(seed_points[0].cpu().float(), seed_points[1].cpu().float() / 255)
        scene = scene.with_node(Node("points", points, kind="scene"))
    return scene, {name: photo(batch) for name, batch in zip(names, cached, strict=True)}


def with_start(scene: Scene, images: dict[str, Image], dense: DenseConfig, seed: int, events: Listener) -> Scene:
    """The scene with points to start from: triangulated where the data has none, then dense ones, as in `recon run`."""
    scene = with_points(scene, seed=seed, events=events, load=lambda view: images[view.name])
    photos = [images[view.name] for view in scene.views]
    given = DenseInput(
        scene.views, photos, scene.points, seed, lambda done, total: None,
        lambda message: events(StageWarning("poses", message)),
    )  # fmt: skip
    source = make_source(dense, choose_dense(dense, given)[0])
    if source is None or len(scene.views) < 2:
        return scene
    points = source.points(given)
    if len(points.positions) < dense.min_points:
        events(
            StageWarning("poses", f"dense start: {len(points.positions)} points are too few; starting at sparse ones")
        )
        return scene
    return scene.with_node(Node("points", with_sparse(points, scene.points, scene.views), kind="scene"))


def as_view(camera: Any) -> View:
    """A camera to render from."""
    return View("camera", lens(camera), world_to_camera(camera))


def scaled(view: View, factor: float) -> View:
    """The view with a picture of another size."""
    width, height = (max(1, round(side * factor)) for side in (view.camera.width, view.camera.height))
    return replace(view, camera=view.camera.resized(width, height))
