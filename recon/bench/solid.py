"""`recon bench solid`: a scene of solid triangles, and the same triangles as a mesh in another program's renderer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import imageio.v3 as imageio
import numpy as np
import torch
import tyro

from recon.bench.measure import machine
from recon.bench.report import table
from recon.errors import ReconError
from recon.evaluate.image import psnr
from recon.geometry import rigid
from recon.geometry.camera import pixel_grid
from recon.io.images import load_image
from recon.io.surface import triangles_as_mesh, write_mesh
from recon.pipeline.config import load_config
from recon.pipeline.run import run
from recon.render.rasterize import rasterize
from recon.scene.nodes import View


@dataclass(frozen=True)
class Options:
    """Optimise solid triangles, export them as a GLB, cast rays at what trimesh reads back, and compare."""

    scene: Annotated[Path, tyro.conf.Positional]
    """Scene file, such as configs/examples/demo.yaml."""
    step: int = 4
    """Compare every so many columns and rows: rays on the CPU are slow."""
    images: Path | None = None
    """Folder for pictures: photo, splats and mesh side by side."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides, such as --set splats.iterations=500."""


def main(options: Options) -> None:
    """Print the table: PSNR between splats, mesh and photo for every held-out view."""
    import trimesh

    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
        overrides = [*options.set, f"output={folder}", "splats.primitive=triangle", "splats.triangle.solid=true"]
        scene = run(load_config(options.scene, overrides), argv=["recon", "bench", "solid", str(options.scene)]).scene
        assert scene.splats is not None
        path = Path(folder) / "mesh.glb"
        write_mesh(path, triangles_as_mesh(scene.splats))
        mesh: Any = trimesh.load(path, process=False, force="mesh")
        views = scene.split("test")
        if not views:
            raise ReconError(f"{options.scene}: no held-out views to compare", fix="set views.test or views.file")
        print(f"{machine()}\n\n{len(scene.splats)} triangles, {len(mesh.faces)} of them in the mesh\n")
        rows: list[list[object]] = []
        for view in views:
            assert view.photo is not None
            camera = view.camera
            with torch.no_grad():
                splats = rasterize(
                    scene.splats.params, view.world_to_camera.float(), camera.K.float(), camera.width, camera.height,
                    family="triangle", sh_degree=0, background=torch.zeros(3),
                ).color.clamp(0, 1)[:: options.step, :: options.step]  # fmt: skip
            cast = torch.from_numpy(cast_rays(mesh, view, options.step))
            photo = torch.from_numpy(load_image(view).rgb)[:: options.step, :: options.step]
            rows.append([view.name, psnr(splats, cast), psnr(splats, photo), psnr(cast, photo)])
            if options.images is not None:
                options.images.mkdir(parents=True, exist_ok=True)
                row = torch.cat([photo, splats, cast], dim=1).mul(255).round().byte().numpy()
                imageio.imwrite(options.images / f"{Path(view.name).stem}.png", row)
        rows.append(["mean", *(sum(row[k] for row in rows) / len(rows) for k in (1, 2, 3))])  # type: ignore[misc]
        print(
            table(["held-out view", "mesh against splats dB", "splats against photo dB", "mesh against photo dB"], rows)
        )


def cast_rays(mesh: Any, view: View, step: int) -> np.ndarray:
    """Colours [H / step, W / step, 3] of the first face that each ray meets, over black. `mesh`: a trimesh.Trimesh."""
    camera = view.camera
    pixels = pixel_grid(camera.width, camera.height, torch.float64)[::step, ::step]
    focal, middle = camera.K.diagonal()[:2], camera.K[:2, 2]
    rays = torch.cat([(pixels - middle) / focal, torch.ones_like(pixels[..., :1])], dim=-1).reshape(-1, 3)
    world_from_camera = rigid.inverse(view.world_to_camera)
    directions = (rays @ world_from_camera[:3, :3].T).numpy()
    origins = np.broadcast_to(view.center.numpy(), directions.shape)
    image = np.zeros((len(directions), 3), np.float32)
    colors = mesh.visual.vertex_colors[:, :3].astype(np.float32) / 255
    for start in range(0, len(directions), 20_000):  # the candidates of a batch have to fit into memory
        batch = slice(start, start + 20_000)
        faces, hits = mesh.ray.intersects_id(origins[batch], directions[batch], multiple_hits=False)
        image[start + hits] = colors[mesh.faces[faces, 0]]
    return image.reshape(*pixels.shape[:2], 3)
