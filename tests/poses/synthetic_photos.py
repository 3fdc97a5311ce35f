"""Keypoints of photos that were never taken: exact projections of random points, each with a descriptor of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.geometry import rigid
from recon.geometry.camera import Camera, project
from recon.poses.features import Features
from recon.poses.sfm.photos import Lens, PhotoFeatures

WIDTH, HEIGHT = 800, 600


@dataclass(frozen=True)
class Shoot:
    """Photos on an arc around a cloud of points."""

    photos: PhotoFeatures
    poses: list[Tensor]
    """[4, 4] float64, the truth."""
    focals: list[float]
    """In longer sides, the truth."""
    matches: dict[tuple[int, int], Tensor]
    """Of all pairs, with the share of wrong ones that was asked for."""


def make_shoot(
    count: int = 5, points: int = 300, step_deg: float = 12.0, focal: float = 0.8, wrong: float = 0.1,
    noise_px: float = 0.3, focals: list[float] | None = None, exif: float | None = None,
    off_center: tuple[float, float] = (0.0, 0.0),
) -> Shoot:  # fmt: skip
    """`count` photos, `step_deg` apart, of which each has `focal` or its own of `focals`.

    off_center: px, of the principal point from the middle.
    """
    generator = torch.Generator().manual_seed(0)
    cloud = torch.rand(points, 3, generator=generator, dtype=torch.float64) * 2 - 1
    descriptors = torch.nn.functional.normalize(torch.randn(points, 128, generator=generator), dim=1)
    poses, features, each = [], [], focals or [focal] * count
    count = len(each)
    for index, own in enumerate(each):
        angle = math.radians(step_deg) * (index - (count - 1) / 2)
        place = [4 * math.sin(angle), step_deg / 24 * (index % 2), -4 * math.cos(angle)]
        eye = torch.tensor(place, dtype=torch.float64)
        up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), up)
        camera = Camera.pinhole(WIDTH, HEIGHT, own * WIDTH)
        camera.K[:2, 2] += torch.tensor(off_center)
        pixels = project(rigid.transform_points(pose, cloud), camera.K)
        pixels = pixels + noise_px * torch.randn(points, 2, generator=generator, dtype=torch.float64)
        poses.append(pose)
        features.append(Features(camera, pixels, descriptors, torch.zeros(points, 3)))
    lens = Lens(WIDTH, HEIGHT, exif)
    photos = PhotoFeatures(
        tuple(f"{index}.jpg" for index in range(count)), tuple(features), (lens,), (0,) * len(features)
    )
    matches = {}
    for i in range(count):
        for j in range(i + 1, count):
            order = torch.arange(points)
            spoiled = torch.rand(points, generator=generator) < wrong
            order[spoiled] = torch.randint(points, (int(spoiled.sum()),), generator=generator)
            matches[i, j] = torch.stack([torch.arange(points), order], dim=1)
    return Shoot(photos, poses, each, matches)
