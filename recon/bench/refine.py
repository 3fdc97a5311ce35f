"""`recon bench refine`: known cameras, disturbed or as they are, after matches and after the splats corrected them.

With `--out` every run is a line of `rows.jsonl` when it is done, and lines that are there are not run again.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from recon.bench.journal import Journal, Row
from recon.bench.measure import commit, machine
from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.poses import pose_errors
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
    """Folder for the table as Markdown and JSON, and for the rows."""


def main(options: Options) -> None:
    """Print the table: medians over photos and seeds, and the worst."""
    if not options.scenes or options.seeds < 1:
        raise ReconError("nothing to refine", wanted="at least one scene file and one seed")
    journal = Journal(options.out)
    rows = [
        row
        for path in options.scenes
        for count in options.views or (None,)
        for seed in range(options.seeds)
        for row in _refined(path, count, seed, options, journal)
    ]
    report = Report(f"{machine()}; runs of commit {', '.join(dict.fromkeys(row['commit'] for row in rows))}")
    header = ["scene", "photos", "cameras", "rotation deg: median", "worst", "centre %: median", "worst"]
    disturbed = f"turned by {options.turned_deg:g} degrees, moved by {100 * options.moved:g} % of the baseline"
    report.add(header, list(_table(rows)), f"Known cameras, {disturbed}, {options.seeds} seed(s)")
    report.write(options.out, "refine")


def _refined(path: Path, count: int | None, seed: int, options: Options, journal: Journal) -> Iterator[Row]:
    """Errors of the training cameras by what was done to them; those that are known already are not made again."""
    wanted = [*options.set, f"seed={seed}", *([] if count is None else [f"views.train={count}"])]
    config = load_config(path, wanted)
    truth = PosesStage(config).capture.scene
    rough = disturbed(truth, options.turned_deg, options.moved, seed)
    run_of: Row = {
        "scene": path.stem, "photos": len(truth.split("train")), "seed": seed, "set": list(options.set),
        "turned_deg": options.turned_deg, "moved": options.moved,
    }  # fmt: skip

    def measured(cameras: str, make: Callable[[], Scene]) -> Row:
        row = journal.find(**run_of, cameras=cameras)
        if row is None:
            errors = pose_errors(make().split("train"), truth.split("train"))
            assert errors is not None
            row = {**run_of, "cameras": cameras, "commit": commit()}
            row |= {"rotation_deg": errors.rotation_deg, "center": errors.center}
            journal.add(row)
            print(f"{path.stem} {row['photos']} seed {seed}, {cameras}: {' / '.join(_figures([row]))}", flush=True)
        return row

    @lru_cache
    def mended() -> Scene:
        return KnownPoses(config.poses.sfm, may_mend=True).estimate(PoseInput(rough, seed, ignore)).scene

    def with_splats(scene: Scene) -> Scene:
        with tempfile.TemporaryDirectory(prefix="recon-bench-") as name:
            started = _started(path, wanted, scene, Path(name))
            return optimize(started, config.splats, seed=seed, refine_poses=True).scene

    @lru_cache
    def rough_with_splats() -> Scene:
        return with_splats(rough)

    def mended_with_splats() -> Scene:
        return rough_with_splats() if mended() is rough else with_splats(mended())

    yield measured("as given", lambda: rough)
    yield measured("after matches", mended)
    if options.splats:
        yield measured("after matches, then with splats", mended_with_splats)
        yield measured("as given, then with splats", rough_with_splats)


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


def _table(rows: Sequence[Row]) -> Iterator[list[object]]:
    for scene, photos, cameras in dict.fromkeys((row["scene"], row["photos"], row["cameras"]) for row in rows):
        own = [row for row in rows if (row["scene"], row["photos"], row["cameras"]) == (scene, photos, cameras)]
        yield [scene, photos, cameras, *_figures(own)]


def _figures(rows: Sequence[Row]) -> list[str]:
    """Median and worst rotation in degrees, and so for centres in per cent, over photos and seeds."""
    rotation = [one for row in rows for one in row["rotation_deg"]]
    center = [100 * one for row in rows for one in row["center"]]
    return [f"{figure(values):.3f}" for values in (rotation, center) for figure in (statistics.median, max)]
