"""From a model of structure from motion to the scene's views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from recon.io.frames import Skipped
from recon.io.images import Image
from recon.poses.sfm.config import SfmConfig
from recon.poses.sfm.mapping import Model
from recon.poses.sfm.photos import read_photos
from recon.poses.sfm.resection import locate
from recon.poses.sfm.world import moved_pose, world_from_model
from recon.scene.nodes import Node, Points, View
from recon.scene.scene import Scene

_GREY = 0.7


def moved(model: Model, views: Sequence[View], around: Tensor) -> tuple[Model, list[View]]:
    """The model in a frame with y up and cameras at a distance of about one from `around` [P, 3], and its photos as
    views."""
    order = sorted(model.poses)
    frame = world_from_model(torch.stack([model.poses[photo] for photo in order]), around)
    rotation, origin, scale = frame
    world = replace(
        model,
        poses={photo: moved_pose(pose, rotation, origin, scale) for photo, pose in model.poses.items()},
        positions=scale * (model.positions - origin) @ rotation.T,
    )
    registered = []
    for photo in order:
        view = views[photo]
        camera = model.cameras[photo].resized(view.camera.width, view.camera.height)
        registered.append(replace(view, camera=camera, world_to_camera=world.poses[photo]))
    return world, registered


def so_far(model: Model, views: Sequence[View], around: Tensor) -> Scene:
    """What `moved` makes of a model that is not the last one, to look at: photos in their places, points in grey."""
    world, registered = moved(model, views, around)
    points = Points(world.positions.float(), torch.full((len(world.positions), 3), _GREY))
    return Scene(tuple(registered), (Node("points", points, kind="scene"),))


def held_out(
    model: Model, world: Model, views: Sequence[View], config: SfmConfig, max_features: int, seed: int,
    load: Callable[[View], Image],
) -> tuple[list[View], list[Skipped]]:  # fmt: skip
    """Cameras of photos that had no part in the model, which stays as it is."""
    if not views:
        return [], []
    photos = read_photos(views, replace(config.features, max_features=max_features), load)
    located, missed = [], []
    for index, view in enumerate(views):
        lens = photos.lenses[photos.lens_of[index]]
        same = next((p for p in model.poses if model.photos.lenses[model.photos.lens_of[p]] == lens), None)
        first = next(iter(world.poses))
        camera = world.cameras[same] if same is not None else lens.camera(lens.exif_focal or world.focal(first))
        place, count = locate(world, photos.features[index], camera, config, seed)
        if place is None:
            missed.append(Skipped(view.name, f"held out, and {count} matches do not tell where it was taken"))
        else:
            full = camera.resized(view.camera.width, view.camera.height)
            located.append(replace(view, camera=full, world_to_camera=place.world_to_camera))
    return located, missed
