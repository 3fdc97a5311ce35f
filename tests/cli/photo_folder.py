"""A capture on disk, small enough to run the whole chain in seconds: photos of Gaussians and a transforms.json."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

from recon.evaluate.charts import to_bytes
from recon.geometry import rigid, spherical_harmonics
from recon.geometry.camera import Camera
from recon.io.decode import write_png
from recon.io.ply import write_points
from recon.render.rasterize import rasterize
from recon.scene import Points

WIDTH, HEIGHT, FOCAL = 64, 48, 70.0
VIEWS = 6
# Camera axes of OpenGL, which transforms.json is written in, seen from OpenCV's.
_OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def write_capture(folder: Path) -> Path:
    """Photos 00.png to 05.png on an arc, their cameras, and 60 points near the truth. Returns `folder`."""
    g = torch.Generator().manual_seed(0)
    count = 60
    truth = {
        "means": (torch.rand(count, 3, generator=g) - 0.5) * 1.6,
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": torch.rand(count, 3, generator=g) - 2.4,
        "opacity_logits": torch.full((count,), 2.5),
        "sh_coeffs": spherical_harmonics.from_rgb(torch.rand(count, 1, 3, generator=g)),
    }
    frames = []
    for k in range(VIEWS):
        angle = math.pi * k / VIEWS
        eye = torch.tensor([3 * math.sin(angle), -0.5, 3 * math.cos(angle)], dtype=torch.float64)
        pose = rigid.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, -1, 0], dtype=torch.float64))
        camera = Camera.pinhole(WIDTH, HEIGHT, FOCAL)
        picture = rasterize(
            truth, pose.float(), camera.K.float(), WIDTH, HEIGHT, background=torch.tensor([0.2, 0.3, 0.4])
        ).color
        write_png(folder / "images" / f"{k:02d}.png", to_bytes(picture))
        matrix = rigid.inverse(pose) @ _OPENGL
        frames.append({"file_path": f"images/{k:02d}.png", "transform_matrix": matrix.tolist()})
    write_points(folder / "points.ply", Points(truth["means"], spherical_harmonics.to_rgb(truth["sh_coeffs"][:, 0])))
    cameras = {
        "w": WIDTH, "h": HEIGHT, "fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2,
        "ply_file_path": "points.ply", "frames": frames,
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(cameras))
    return folder


def write_config(path: Path, iterations: int = 24, extra: str = "") -> Path:
    """A scene.yaml for the capture in the folder `capture` beside it."""
    path.write_text(
        f"""images: capture/images
cameras: capture/transforms.json
views:
  test: [02.png]
output: out
splats:
  iterations: {iterations}
  report_every: 4
  checkpoint_every: 8
{extra}"""
    )
    return path
