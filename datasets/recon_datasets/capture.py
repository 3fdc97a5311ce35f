"""A capture on disk: photos, cameras, truth."""

from __future__ import annotations

import json
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.geometry.camera import Distortion
from recon_datasets.cameras import LAYOUTS, Layout, cameras_of
from recon_datasets.catalog import SCENES
from recon_datasets.render import PinholeCamera, render_view
from recon_datasets.scenes import SceneModel
from recon_datasets.truth import count_views, sample_surface, truth_mesh, write_mesh, write_ply

HOLD_OUT = 8
TRAIN_COUNTS = (3, 6, 9, 12)
POINTS = 100_000
FOLDERS = ("images", "masks", "depth", "normals")
TRUTH = ("mesh.ply", "object.ply", "points.ply")
FILES = (*TRUTH, "capture.json", "splits.json", "transforms_masked.json", "transforms.json")
"""In the order in which they are put in place; a folder with the last one is whole."""
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV to OpenGL camera axes


def make_capture(
    scene: str,
    out: Path | str,
    *,
    views: int = 24,
    width: int = 320,
    height: int = 240,
    samples: int = 4,
    seed: int = 0,
    layout: Layout = "arc",
    center: tuple[float, float] = (0.51, 0.49),
    distortion: Distortion | None = None,
) -> Path:
    """Write a capture of `scene` to the folder `out` and return it; what is in it, datasets/README.md tells.

    `samples`: rays per pixel, a square number; `center`: principal point in units of the image size; `distortion`:
    of the lens, in OpenCV's models. The same arguments give the same bytes. Files appear only when all are made. An
    older capture in `out` is replaced. ReconError for arguments that make no sense, and for a folder that holds
    files of the same names which are no capture.
    """
    if scene not in SCENES:
        raise ReconError("scene", found=repr(scene), wanted=f"one of {', '.join(SCENES)}")
    if layout not in LAYOUTS:
        raise ReconError("layout", found=repr(layout), wanted=f"one of {', '.join(LAYOUTS)}")
    if views < 4 or width < 8 or height < 8 or samples < 1 or round(samples**0.5) ** 2 != samples:
        found = f"{views} views of {width}x{height} with {samples} samples"
        raise ReconError("capture", found=found, wanted="at least 4 views of 8x8, samples 1, 4, 9, 16, ...")
    out = Path(out)
    _check_replaceable(out)
    model = SCENES[scene](seed)
    cameras = cameras_of(model, views, width, height, seed, layout, center, distortion)
    names = [f"{index:04d}" for index in range(views)]
    still, gains = model.at(None), gains_of(model, views, seed)
    out.mkdir(parents=True, exist_ok=True)
    making = out / f".tmp-{uuid.uuid4().hex}"
    try:
        for folder in FOLDERS:
            (making / folder).mkdir(parents=True)

        def write(index: int) -> None:
            held_out = index % HOLD_OUT == 0
            seen = still if held_out else model.at(index / (views - 1))
            view = render_view(seen, cameras[index], samples, seed=seed * 10007 + index)
            rgb = view.rgb if held_out else exposed(view.rgb, gains[index])
            _write_view(making, names[index], rgb, view.mask, view.depth, view.normal)

        with ThreadPoolExecutor() as pool:
            list(pool.map(write, range(views)))
        points = sample_surface(still, POINTS, seed)
        positions = np.stack([points[axis] for axis in "xyz"], 1)
        points["views"] = count_views(positions, cameras, [np.load(making / "depth" / f"{name}.npy") for name in names])
        write_ply(making / "points.ply", points)
        write_mesh(making / "mesh.ply", truth_mesh(still))
        write_mesh(making / "object.ply", truth_mesh(still, object_only=True))
        settings = {"scene": scene, "views": views, "width": width, "height": height, "samples": samples, "seed": seed}
        _write_json(
            making / "capture.json",
            {"generator": "recon_datasets", **settings, "layout": layout, "unit": "metre", "up": "+z"},
        )
        _write_json(making / "splits.json", splits(names))
        _write_json(making / "transforms_masked.json", transforms(cameras, names, masked=True))
        _write_json(making / "transforms.json", transforms(cameras, names))
        (out / FILES[-1]).unlink(missing_ok=True)
        for entry in (*FOLDERS, *FILES):
            if (out / entry).is_dir():
                shutil.rmtree(out / entry)
            (making / entry).replace(out / entry)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return out


def gains_of(model: SceneModel, views: int, seed: int) -> np.ndarray:
    """Factors [V, 3] on the photos' colours, whose logarithms are 0 on average."""
    random = np.random.default_rng([seed, 4])
    logs = random.normal(0, 1, (views, 1)) + random.normal(0, 1 / 3, (views, 3))
    return np.exp(model.exposure * (logs - logs.mean(0)))


def exposed(rgb: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """A photo [H, W, 3] uint8 with other gains [3]; what gets too bright is white."""
    return (rgb * gains + 0.5).clip(0, 255).astype(np.uint8)


def transforms(cameras: list[PinholeCamera], names: list[str], masked: bool = False) -> dict[str, Any]:
    """transforms.json as nerfstudio reads it; `masked` has the object's masks count, which hides all else."""
    first = cameras[0]
    lens = first.distortion
    model = "PINHOLE" if lens.is_identity else "OPENCV_FISHEYE" if lens.model == "fisheye" else "OPENCV"
    keys = ("k1", "k2", "k3", "k4") if lens.model == "fisheye" else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    frames = [
        {
            "file_path": f"images/{name}.png",
            "depth_file_path": f"depth/{name}.png",
            **({"mask_path": f"masks/{name}.png"} if masked else {}),
            "transform_matrix": (np.linalg.inv(camera.world_to_camera) @ _FLIP).tolist(),
        }
        for name, camera in zip(names, cameras, strict=True)
    ]
    return {
        "camera_model": model,
        "w": first.width, "h": first.height,
        "fl_x": float(first.K[0, 0]), "fl_y": float(first.K[1, 1]),
        "cx": float(first.K[0, 2]), "cy": float(first.K[1, 2]),
        **dict(zip(keys, map(float, lens.params), strict=False)),
        "frames": frames,
    }  # fmt: skip


def splits(names: list[str]) -> dict[str, Any]:
    """Every 8th view is held out; training views are spread evenly over the rest."""
    files = [f"{name}.png" for name in names]
    test, rest = files[::HOLD_OUT], [file for index, file in enumerate(files) if index % HOLD_OUT]
    train = {
        str(count): [rest[i] for i in np.linspace(0, len(rest) - 1, count).round().astype(int)]
        for count in (*TRAIN_COUNTS, len(rest))
        if count <= len(rest)
    }
    return {"test": test, "train": train}


def _write_view(
    folder: Path, name: str, rgb: np.ndarray, mask: np.ndarray, depth: np.ndarray, normal: np.ndarray
) -> None:
    import imageio.v3 as iio

    iio.imwrite(folder / "images" / f"{name}.png", rgb)
    iio.imwrite(folder / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
    millimetres = np.where(np.isfinite(depth), depth * 1000, 0).round().clip(0, 65535)
    iio.imwrite(folder / "depth" / f"{name}.png", millimetres.astype(np.uint16))
    np.save(folder / "depth" / f"{name}.npy", depth)
    np.save(folder / "normals" / f"{name}.npy", normal)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _check_replaceable(out: Path) -> None:
    """Only what this module wrote may be replaced."""
    if out.exists() and not out.is_dir():
        raise ReconError(f"{out}", found="a file", wanted="a folder or nothing", fix="choose another --out")
    ours = [name for name in (*FOLDERS, *FILES) if (out / name).exists()]
    was_capture = all((out / name).exists() for name in ("mesh.ply", "points.ply", "splits.json", "normals"))
    if ours and not was_capture:
        raise ReconError(
            f"{out}", found=f"{ours[0]} of something else", wanted="an empty folder or an older capture of ours",
            fix="choose another --out",
        )  # fmt: skip
