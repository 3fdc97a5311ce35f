"""`recon bench refine`: known cameras, disturbed or as they are, after matches and after the splats corrected them."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from recon.bench.measure import machine
from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.poses import PoseErrors, pose_errors
from recon.events import ignore
from recon.geometry import rigid
from recon.pipeline.config import load_config
from recon.pipeline.poses_stage import PosesStage
from recon.pipeline.run import run
from recon.poses.estimators import PoseInput
from recon.poses.estimators.known import KnownPoses
from recon.scene import Scene, View
from recon.splats.optimize import optimize

_TERMS = ("k1", "k2", "p1", "p2")


@dataclass(frozen=True)
class Options:
    """Turn and move the training cameras of scenes, have them refined, and compare with how they came."""

    scenes: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Scene files with known cameras, such as configs/examples/fox.yaml."""
    views: tuple[int, ...] = ()
    """Numbers of training photos; by default what each scene file says."""
    turned_deg: float = 1.0
    """Each camera is turned by this about an axis of its own."""
    moved: float = 0.01
    """And moved by this share of the largest distance between two cameras. 0 and 0 leave good cameras as they are."""
    seeds: int = 3
    """Runs of each, with seeds 0, 1, ..., which the disturbances follow as well."""
    splats: bool = False
    """Correct them along with the splats, too: after the matches, and without these."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.iterations=1000."""
    out: Path | None = None
    """Folder for the table as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the table: medians over photos and seeds, and the worst."""
    if not options.scenes or options.seeds < 1:
        raise ReconError("nothing to refine", wanted="at least one scene file and one seed")
    report = Report(machine())
    rows: list[list[object]] = []
    for path in options.scenes:
        for count in options.views or (None,):
            seeds = [_refined(path, count, seed, options) for seed in range(options.seeds)]
            photos = len(seeds[0]["as given"].rotation_deg)
            rows += [[path.stem, photos, step, *_row([one[step] for one in seeds])] for step in seeds[0]]
    header = ["scene", "photos", "cameras", "rotation deg: median", "worst", "centre %: median", "worst"]
    disturbed = f"turned by {options.turned_deg:g} degrees, moved by {100 * options.moved:g} % of the baseline"
    report.add(header, rows, f"Known cameras, {disturbed}, {options.seeds} seed(s)")
    report.write(options.out, "refine")


def _refined(path: Path, count: int | None, seed: int, options: Options) -> dict[str, PoseErrors]:
    """Errors of the training cameras by what was done to them."""
    wanted = [*options.set, f"seed={seed}", *([] if count is None else [f"views.train={count}"])]
    config = load_config(path, wanted)
    truth = PosesStage(config).capture.scene
    rough = disturbed(truth, options.turned_deg, options.moved, seed)
    mended = KnownPoses(config.poses.sfm, may_mend=True).estimate(PoseInput(rough, seed, ignore)).scene
    scenes = {"as given": rough, "after matches": mended}
    if options.splats:
        for step, scene in tuple(scenes.items()):
            with tempfile.TemporaryDirectory(prefix="recon-bench-") as name:
                started = _started(path, wanted, scene, Path(name))
                fitted = optimize(started, config.splats, seed=seed, refine_poses=True).scene
            scenes[f"{step}, then with splats"] = fitted
    found = {step: pose_errors(scene.split("train"), truth.split("train")) for step, scene in scenes.items()}
    return {step: errors for step, errors in found.items() if errors is not None}


def _started(path: Path, wanted: Sequence[str], scene: Scene, folder: Path) -> Scene:
    """What the poses stage makes of the photos with the cameras of `scene`, which it leaves as they are."""
    cameras = folder / "transforms.json"
    cameras.write_text(json.dumps(as_transforms(scene.views)), encoding="utf-8")
    overrides = [f"cameras={cameras}", "poses.method=known", "poses.refine=false", f"output={folder / 'out'}"]
    return run(load_config(path, [*wanted, *overrides]), until="poses").scene


def disturbed(scene: Scene, turned_deg: float, moved: float, seed: int) -> Scene:
    """The scene with its training cameras turned and moved in directions that the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.stack([view.center for view in scene.split("train")])
    baseline = float(torch.cdist(centers, centers).max())

    def rough(view: View) -> View:
        axis, way = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=1)
        R = rigid.so3_exp(math.radians(turned_deg) * axis) @ view.world_to_camera[:3, :3]
        center = view.center + moved * baseline * way
        return replace(view, world_to_camera=rigid.from_rotation_translation(R, -(R @ center)))

    return replace(scene, views=tuple(rough(view) if view.split == "train" else view for view in scene.views))


def as_transforms(views: tuple[View, ...]) -> dict[str, Any]:
    """What a transforms.json of `views` holds. ReconError for lenses that COLMAP's OPENCV model does not describe."""
    frames = []
    for view in views:
        camera, assumed = view.camera, view.camera.distortion
        if view.photo is None or not (
            assumed.is_identity or (assumed.model == "opencv" and not any(assumed.params[4:]))
        ):
            raise ReconError(f"view {view.name}", found=f"{assumed.model} lens", wanted="a photo and k1, k2, p1, p2")
        K = camera.K.tolist()
        camera_to_world = rigid.inverse(view.world_to_camera).numpy() @ np.diag([1.0, -1.0, -1.0, 1.0])
        frames.append(
            {
                "file_path": str(view.photo.path), "transform_matrix": camera_to_world.tolist(),
                "w": camera.width, "h": camera.height, "fl_x": K[0][0], "fl_y": K[1][1], "cx": K[0][2], "cy": K[1][2],
                **dict(zip(_TERMS, assumed.params, strict=False)),
            }
        )  # fmt: skip
    return {"frames": frames}


def _row(found: list[PoseErrors]) -> list[str]:
    rotation = [one for errors in found for one in errors.rotation_deg]
    center = [100 * one for errors in found for one in errors.center]
    return [f"{figure(values):.3f}" for values in (rotation, center) for figure in (statistics.median, max)]
