"""A published scene with splats of every family, points, a textured mesh and photos; small, for a software WebGL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from random_splats import random_family

from recon.geometry import rigid
from recon.geometry.camera import Camera
from recon.io.decode import write_png
from recon.scene import Mesh, Node, Photo, Points, Scene, Splats, View
from recon.scene.families import FAMILIES
from recon.scene.store import SceneStore
from recon.viewer.server import ViewerServer

WIDTH, HEIGHT = 200, 150
BACKGROUND = (0.2, 0.5, 0.1)
SPLATS = 400


@dataclass(frozen=True)
class Served:
    """A scene folder with a running server."""

    folder: Path
    scene: Scene
    server: ViewerServer


def publish(out: Path, *, splats: int = SPLATS, families: tuple[str, ...] = tuple(FAMILIES)) -> Scene:
    """Write the scene to `out` as two published stages and return it."""
    out.mkdir(parents=True, exist_ok=True)
    store = SceneStore(out)
    with store.lock():
        with store.begin("poses", "poses") as writer:
            views = _views(writer.path)
            scene = Scene(views, (Node("points", _points()),))
            writer.publish(scene, {"background": list(BACKGROUND)})
        scene = store.load()
        for family in families:
            scene = scene.with_node(
                Node(family, _displayable(random_family(family, splats, sh_degree=3)), kind="scene")
            )
        with store.begin("splats", "splats") as writer:
            writer.publish(scene.with_node(Node("mesh", _mesh())), {"antialias": False})
    views = {view.name: {"psnr": 21.5, "ssim": 0.75} for view in scene.split("test")}
    (out / "metrics.json").write_text(json.dumps({"test": {"psnr": 21.5, "ssim": 0.75, "views": views}}))
    return store.load()


def _displayable(splats: Splats) -> Splats:
    """With colours in [0, 1] from everywhere, or nearly: a canvas cuts off what is beyond after every primitive."""
    return Splats(splats.family, {**splats.params, "sh_coeffs": 0.2 * splats["sh_coeffs"]})


def _views(folder: Path) -> tuple[View, ...]:
    K = torch.tensor([[190.0, 0, 91.3], [0, 183.0, 88.9], [0, 0, 1]], dtype=torch.float64)  # off-centre on purpose
    target, up = torch.zeros(3).double(), torch.tensor([0.1, 1.0, 0.0]).double()
    eyes = torch.tensor([[0.0, 1.0, 5.0], [4.0, 0.5, 3.5], [-4.0, 2.0, 3.0]]).double()
    views = []
    (folder / "images").mkdir()
    for index, eye in enumerate(eyes):
        name = f"photo {index}.png"  # a space, as phones have it
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        photo = np.stack([rows + 20 * index, columns, (rows // 8 + columns // 8) % 2 * 255], -1) % 256
        path = folder / "images" / name
        write_png(path, photo.astype(np.uint8))
        pose = rigid.look_at(eye, target, up)
        views.append(View(name, Camera(WIDTH, HEIGHT, K), pose, Photo(path), "test" if index == 2 else "train"))
    return tuple(views)


def _points() -> Points:
    random = torch.Generator().manual_seed(1)
    return Points(torch.randn(500, 3, generator=random), torch.rand(500, 3, generator=random))


def _mesh() -> Mesh:
    """A textured box of two visible sides."""
    corners = torch.tensor(
        [[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, -1, -1], [1, 1, -1], [1, 1, 1]]
    )
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    uvs = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]] * 2)
    rows, columns = np.mgrid[:64, :64]
    texture = np.stack([rows * 4, columns * 4, np.full_like(rows, 90)], -1).astype(np.uint8)
    return Mesh(corners, faces, uvs=uvs, texture=texture)
