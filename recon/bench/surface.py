"""`recon bench surface`: known shapes photographed by the ray tracer, `recon run` to a mesh, and how far it is off."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import Tensor

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.bench.tsdf import tsdf_baseline
from recon.errors import ReconError
from recon.evaluate.surface import Surface, SurfaceErrors, compare_surfaces
from recon.evaluate.topology import topology
from recon.geometry import rigid
from recon.io.decode import write_png
from recon.pipeline.config import load_config
from recon.pipeline.run import run
from recon.render.distance import first_hits, sample_surface

SIZE, FOCAL = 256, 1.3
"""Photos: px, and the focal length in units of that."""
DISTANCE = 2.2
"""Of the cameras from the shape's middle, whose longest side is 1."""
HELD_OUT = 4
SAMPLES = 60_000
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Options:
    """Reconstruct meshes from photos of them with exact cameras and alpha, and measure them against the truth."""

    meshes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Triangle meshes, such as those in RECON_DATA/meshes; `sheet` is the procedural bent sheet."""
    views: tuple[int, ...] = (6, 9, 12)
    """Numbers of training photos."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides, such as --set mesh.resolution=192."""
    keep: Path | None = None
    """Folder for captures and runs; a temporary one by default."""
    out: Path | None = None
    """Folder for surface.md and surface.json."""


COLUMNS = (
    "shape", "photos", "F at 1 %", "precision", "recall", "normals", "Chamfer, % of the diagonal", "boundary loops",
    "parts", "mesh dB", "splats dB", "s", "TSDF + marching cubes: F at 1 %",
)  # fmt: skip


def main(options: Options) -> None:
    """Print the table, row by row."""
    report = Report(
        f"{machine()}\n\nPhotos of {SIZE} x {SIZE} px with alpha and exact cameras all around; F-scores over what the "
        "cameras see, at 1 % of the diagonal of the shape's box."
    )
    rows: list[list[object]] = []
    for path in options.meshes:
        for count in options.views:
            rows.append(_row(path, count, options))
            print(" ".join(str(round(cell, 4) if isinstance(cell, float) else cell) for cell in rows[-1]), flush=True)
    for count in options.views if len(options.meshes) > 1 else ():
        scores = [row[2] for row in rows if row[1] == count and isinstance(row[2], float)]
        rows.append(["mean", count, sum(scores) / len(scores), *[""] * (len(COLUMNS) - 3)])
    report.add(COLUMNS, rows, "Surfaces from photos")
    report.write(options.out, "surface")


def _row(path: Path, count: int, options: Options) -> list[object]:
    shape = load_shape(path)
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as temporary:
        folder = (options.keep or Path(temporary)) / f"{path.stem}-{count}"
        if not (folder / "transforms.json").is_file():
            photograph(shape, count, folder)
        (folder / "scene.yaml").write_text(
            "images: images\ncameras: transforms.json\nviews: {file: splits.json, train: "
            f"{count}}}\npreset: object\noutput: out\n"
        )
        begin = time.perf_counter()
        argv = ["recon", "bench", "surface", str(path)]
        done = run(load_config(folder / "scene.yaml", options.set), until="mesh", argv=argv)
        seconds = time.perf_counter() - begin
        mesh, scene = done.scene.mesh, done.scene
        assert mesh is not None
        truth = shape[0].float(), shape[1]
        seen = visible(shape, eyes(count) + eyes(HELD_OUT, math.pi / 5))
        to_source = scene.source_from_world
        found = compare_surfaces((_moved(mesh.vertices, to_source), mesh.faces), truth, SAMPLES, seen=seen)
        counts = topology(mesh)
        baseline: SurfaceErrors | None = None
        plain = tsdf_baseline(scene)
        if plain is not None:
            baseline = compare_surfaces((_moved(plain[0], to_source), plain[1]), truth, SAMPLES, seen=seen)
        metrics = done.metrics
        return [
            path.stem, count, found.f_scores[1], found.precision[1], found.recall[1], found.normal_consistency,
            100 * found.chamfer / found.diagonal, counts.boundary_loops, counts.parts,
            metrics["mesh"]["test"]["psnr"], metrics["test"]["psnr"], seconds,
            "" if baseline is None else baseline.f_scores[1],
        ]  # fmt: skip


def _moved(points: Tensor, similarity: Tensor) -> Tensor:
    return rigid.transform_points(similarity, points.double()).float()


def load_shape(path: Path) -> Surface:
    """Vertices [V, 3] float64, longest side 1 around the origin, and faces [F, 3] of a file, or of the bent sheet."""
    if path.name == "sheet":
        from recon_datasets.shapes import Sheet

        points, faces = Sheet(0.42, 1.15, 0.34).tessellate(0.02)
    elif not path.is_file():
        raise ReconError(f"{path}: no such mesh", wanted="a file such as spot.obj, or `sheet`")
    else:
        import trimesh

        mesh: Any = trimesh.load(path, force="mesh", process=True, merge_tex=True, merge_norm=True)
        points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    low, high = points.min(0), points.max(0)
    placed = (points - (low + high) / 2) / (high - low).max()
    return torch.from_numpy(placed).double(), torch.from_numpy(np.asarray(faces)).long()


def eyes(count: int, turn: float = 0.0) -> list[np.ndarray]:
    """Camera centres, spread over the sphere, from -50 to 60 degrees of elevation, +z up."""
    out = []
    for i in range(count):
        height = math.sin(math.radians(60)) - (i + 0.5) / count * (
            math.sin(math.radians(60)) + math.sin(math.radians(50))
        )
        angle, ring = turn + i * math.pi * (3 - math.sqrt(5)), math.sqrt(1 - height**2)
        out.append(DISTANCE * np.array([ring * math.cos(angle), ring * math.sin(angle), height]))
    return out


def visible(shape: Surface, centers: Sequence[np.ndarray]) -> Tensor:
    """[N, 3] float32 points of the shape, uniform by area, that at least one camera sees."""
    points, _ = sample_surface(*shape, SAMPLES)
    seen = torch.zeros(len(points), dtype=torch.bool)
    for center in centers:
        eye = torch.from_numpy(center)
        t, _ = first_hits(eye.expand_as(points), points - eye, *shape)
        seen |= t > 1 - 1e-6
    return points[seen].float()


def photograph(shape: Surface, count: int, folder: Path) -> None:
    """RGBA photos, cameras and a split file: `count` training views and some held-out ones between them."""
    from recon_datasets import textures as tx
    from recon_datasets.cameras import look_at
    from recon_datasets.render import PinholeCamera, render_view
    from recon_datasets.scenes import Item, SceneModel
    from recon_datasets.shapes import TriangleMesh

    paint = tx.wallpaper((0.85, 0.8, 0.7), (0.6, 0.2, 0.2), (0.2, 0.35, 0.5), 0.09, 3)
    item = Item(TriangleMesh(shape[0].numpy(), shape[1].numpy()), paint, np.eye(3), np.zeros(3), True)
    model = SceneModel((item,), (0, 0, 0), DISTANCE, (0, 1), (0, 360))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    frames, names = [], {"train": eyes(count), "test": eyes(HELD_OUT, math.pi / 5)}
    for split, centers in names.items():
        for index, eye in enumerate(centers):
            pose = look_at(eye, np.zeros(3))
            fine = np.array([[2 * FOCAL * SIZE, 0, SIZE], [0, 2 * FOCAL * SIZE, SIZE], [0, 0, 1.0]])
            # Four rays a pixel, by halving: edges get their alpha, and their colour is the shape's alone.
            view = render_view(model, PinholeCamera(2 * SIZE, 2 * SIZE, fine, pose), samples=1, seed=index)
            alpha = view.mask.reshape(SIZE, 2, SIZE, 2).astype(np.float32)
            rgb = view.rgb.reshape(SIZE, 2, SIZE, 2, 3) * alpha[..., None]
            cover = alpha.mean((1, 3))
            color = rgb.mean((1, 3)) / np.maximum(cover, 0.25)[..., None]
            rgba = np.concatenate([color, 255 * cover[..., None]], -1).round().clip(0, 255).astype(np.uint8)
            write_png(folder / "images" / f"{split}{index:02d}.png", rgba)
            matrix = (np.linalg.inv(pose) @ _FLIP).tolist()
            frames.append({"file_path": f"images/{split}{index:02d}.png", "transform_matrix": matrix})
    splits = {split: [f"{split}{index:02d}.png" for index in range(len(centers))] for split, centers in names.items()}
    (folder / "splits.json").write_text(json.dumps({"test": splits["test"], "train": {str(count): splits["train"]}}))
    camera = {"w": SIZE, "h": SIZE, "fl_x": FOCAL * SIZE, "fl_y": FOCAL * SIZE, "cx": SIZE / 2, "cy": SIZE / 2}
    document = {"camera_model": "PINHOLE", **camera, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(document))
