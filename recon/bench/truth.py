"""What a procedural capture knows: how far splats float from its surfaces, and how right the depths they show are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.geometry import rigid
from recon.render.distance import nearest
from recon.render.rasterize import rasterize
from recon.scene import Scene, Splats, View

FAR = 0.05
"""Further than this share of the scene's extent from every surface, a primitive floats."""
CLOSE = 0.02
"""Depths are right within this share."""


@dataclass(frozen=True)
class Truth:
    """The surfaces of a capture that `recon_datasets` made."""

    folder: Path
    vertices: Tensor
    """[V, 3] float32, in the capture's own coordinates and units, as the depths are."""
    faces: Tensor
    """[F, 3] int32."""

    @staticmethod
    def of(folder: Path) -> Truth | None:
        """The truth of the capture in `folder`, None when it is a capture of something else."""
        if not (folder / "capture.json").is_file() or not (folder / "mesh.ply").is_file():
            return None
        import trimesh

        mesh: Any = trimesh.load(folder / "mesh.ply", force="mesh", process=False)
        vertices, faces = (torch.from_numpy(np.asarray(values)) for values in (mesh.vertices, mesh.faces))
        return Truth(folder, vertices.float(), faces.int())

    def floating(self, scene: Scene, splats: Splats) -> Tensor:
        """Which primitives [N] bool have their middle further than 5 % of the scene's extent from every surface."""
        to_source = scene.source_from_world
        points = rigid.transform_points(to_source, centers(splats).double()).float().contiguous()
        limit = FAR * scene.extent() * float(to_source[:3, 0].norm())
        return (points - nearest(points, self.vertices, self.faces).points).norm(dim=-1) > limit

    def depth(self, view: View) -> Tensor | None:
        """[H, W] along z, None where the photo of `view` is not the one that was rendered, such as a smaller one."""
        path = self.folder / "depth" / f"{Path(view.name).stem}.npy"
        if not path.is_file():
            return None
        depth = torch.from_numpy(np.load(path))
        return depth if depth.shape == (view.camera.height, view.camera.width) else None


def centers(splats: Splats) -> Tensor:
    """The middles of primitives [N, 3], whatever the family: its means, or the mean of its corners."""
    for name in ("means", "vertices", "points"):
        if name in splats.params:
            value = splats.params[name]
            return value if value.ndim == 2 else value.mean(1)
    raise ValueError(f"family {splats.family!r} has no positions")


@torch.no_grad()
def geometry(scene: Scene, truth: Truth, views: Sequence[View]) -> dict[str, float]:
    """How true the splats of `scene` are to the surfaces, and not only to photos.

    floating: share of all opacity that floats.   haze: share of what `views` show that does, by blending weight.
    depth: share of the pixels of `views` whose median depth is within 2 % of the truth.
    """
    splats = scene.splats
    assert splats is not None
    far = truth.floating(scene, splats).float()
    opacity = splats["opacity_logits"].sigmoid()
    shown, right, pixels = 0.0, 0, 0
    unit = float(scene.source_from_world[:3, 0].norm())
    for view in views:
        camera = view.camera
        render = rasterize(
            splats.params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height,
            family=splats.family, features=far[:, None].contiguous(), median_depth=True,
        )  # fmt: skip
        assert render.features is not None and render.median_depth is not None
        shown += float(render.features.mean()) / len(views)
        wanted = truth.depth(view)
        if wanted is not None:
            right += int(((unit * render.median_depth / wanted - 1).abs() <= CLOSE).sum())
            pixels += wanted.numel()
    found = {"floating": float((opacity * far).sum() / opacity.sum()), "haze": shown}
    return found | ({"depth": right / pixels} if pixels else {})
