"""A capture on disk: photos, cameras, truth."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recon_datasets.render import PinholeCamera, render_view, surface
from recon_datasets.scenes import SCENES, SceneModel
from recon_datasets.shapes import Array

TRAIN_COUNTS = (3, 6, 9, 12)
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV to OpenGL camera axes


def cameras_of(model: SceneModel, views: int, width: int, height: int, seed: int) -> list[PinholeCamera]:
    """Cameras on the scene's arc, jittered; the principal point lies off the image centre on purpose."""
    random = np.random.default_rng([seed, 1])
    focal = 0.95 * max(width, height)
    K = np.array([[focal, 0, 0.51 * width], [0, focal, 0.49 * height], [0, 0, 1]])
    target = np.asarray(model.target, float)
    found = []
    for index in range(views):
        share = (index + 0.5) / views
        azimuth = np.radians(model.arc_deg[0] + share * (model.arc_deg[1] - model.arc_deg[0]) + random.uniform(-1, 1))
        swing = 0.5 - 0.5 * np.cos(share * 6 * np.pi)
        rise = model.heights[0] + swing * (model.heights[1] - model.heights[0])
        radius = model.radius * random.uniform(0.95, 1.05)
        eye = target + np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), rise])
        found.append(PinholeCamera(width, height, K, look_at(eye, target + random.uniform(-0.03, 0.03, 3))))
    return found


def look_at(eye: Array, target: Array) -> Array:
    """`world_to_camera` [4, 4], OpenCV axes, upright with respect to +z."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def make_capture(
    scene: str, out: Path, *, views: int = 24, width: int = 320, height: int = 240, samples: int = 4, seed: int = 0
) -> Path:
    """Write a capture of `scene` to the folder `out` and return it.

    images/ photos; masks/ of the object, white inside; depth/ float32 .npy, along z, m; normals/ float32 .npy, world;
    transforms.json (nerfstudio, OpenGL camera to world); splits.json (every 8th view is held out); mesh.ply, the truth
    with vertex colours; points.ply, area-uniform samples of it. ValueError for an unknown scene or a size below 8.
    """
    import imageio.v3 as iio

    if scene not in SCENES:
        raise ValueError(f"no scene {scene!r}; there are {', '.join(SCENES)}")
    if views < 4 or width < 8 or height < 8 or samples < 1:
        raise ValueError(
            f"{views} views of {width}x{height}, {samples} samples: want at least 4 views of 8x8, 1 sample"
        )
    out = Path(out)
    model = SCENES[scene](seed)
    for name in ("images", "masks", "depth", "normals"):
        (out / name).mkdir(parents=True, exist_ok=True)
    cameras = cameras_of(model, views, width, height, seed)
    names = [f"{index:04d}" for index in range(views)]

    def write(index: int) -> None:
        name, view = names[index], render_view(model, cameras[index], samples, seed=seed * 10007 + index)
        iio.imwrite(out / "images" / f"{name}.png", view.rgb)
        iio.imwrite(out / "masks" / f"{name}.png", view.mask.astype(np.uint8) * 255)
        np.save(out / "depth" / f"{name}.npy", view.depth)
        np.save(out / "normals" / f"{name}.npy", view.normal)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(views)))
    write_cameras(out, cameras, names)
    write_splits(out, names)
    write_truth(out, model, seed)
    return out


def write_cameras(out: Path, cameras: list[PinholeCamera], names: list[str]) -> None:
    """transforms.json as nerfstudio reads it."""
    first = cameras[0]
    document = {
        "camera_model": "PINHOLE",
        "w": first.width, "h": first.height,
        "fl_x": float(first.K[0, 0]), "fl_y": float(first.K[1, 1]),
        "cx": float(first.K[0, 2]), "cy": float(first.K[1, 2]),
        "frames": [
            {
                "file_path": f"images/{name}.png",
                "transform_matrix": (np.linalg.inv(camera.world_to_camera) @ _FLIP).tolist(),
            }
            for name, camera in zip(names, cameras, strict=True)
        ],
    }  # fmt: skip
    (out / "transforms.json").write_text(json.dumps(document, indent=1))


def write_splits(out: Path, names: list[str]) -> None:
    """Every 8th view is held out; training views are spread evenly over the rest."""
    files = [f"{name}.png" for name in names]
    test, rest = files[::8], [file for index, file in enumerate(files) if index % 8]
    train = {
        str(count): [rest[i] for i in np.linspace(0, len(rest) - 1, count).round().astype(int)]
        for count in (*TRAIN_COUNTS, len(rest))
        if count <= len(rest)
    }
    (out / "splits.json").write_text(json.dumps({"test": test, "train": train}, indent=1))


def truth_mesh(model: SceneModel, edge: float = 0.02) -> tuple[Array, Array, Array]:
    """Vertices [V, 3], triangles [F, 3] and sRGB colours [V, 3] uint8 of all items, edges of about `edge` m."""
    vertices, faces, colors, count = [], [], [], 0
    for index, item in enumerate(model.items):
        local, triangles = item.shape.tessellate(edge if item.casts_shadow else 5 * edge)
        points = local @ item.rotation.T + item.position
        _, albedo = surface(model.items, np.full(len(points), index), points)
        vertices.append(points)
        faces.append(triangles + count)
        colors.append((albedo * 255 + 0.5).astype(np.uint8))
        count += len(points)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors)


def write_truth(out: Path, model: SceneModel, seed: int, samples: int = 100_000) -> None:
    """mesh.ply and points.ply."""
    import trimesh

    vertices, faces, colors = truth_mesh(model)
    mesh = trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False)
    mesh.export(out / "mesh.ply")
    points, _ = trimesh.sample.sample_surface(mesh, samples, seed=seed)
    trimesh.PointCloud(np.asarray(points)).export(out / "points.ply")
