"""What a run leaves beside the scene: metrics, report, renders, exports."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import ReconError
from recon.evaluate import charts
from recon.evaluate.alignment import Align, align
from recon.evaluate.image import Comparison, compare, evaluate_views, summarize
from recon.evaluate.mesh_renderer import MeshRenderer, silhouettes
from recon.evaluate.poses import pose_errors
from recon.evaluate.registration import register
from recon.evaluate.renderer import SplatRenderer
from recon.evaluate.repair import Repairer
from recon.evaluate.report import RepairPictures, Report, ViewPictures, render_html
from recon.evaluate.surface import Surface, compare_surfaces
from recon.evaluate.topology import topology
from recon.events import FileWritten, Listener, Progress, StageWarning
from recon.io.decode import write_png
from recon.io.files import shorten
from recon.io.formats import FORMATS
from recon.io.ply import write_splats
from recon.pipeline.splats_stage import poses_were_estimated, read_history
from recon.scene import Scene, View
from recon.scene.atomic import atomic_path, write_json_atomic
from recon.scene.axes import in_source_coordinates

# Without held-out views the report shows some training views instead: enough to see what is wrong.
_TRAINING_PICTURES = 4
_REPAIRED_PICTURES = 4  # large networks take seconds or minutes for each


@dataclass(frozen=True)
class Evaluation:
    """How well the scene's splats and its mesh show its photos."""

    metrics: dict[str, Any]
    """What metrics.json holds."""
    pictures: tuple[ViewPictures, ...]
    """Of held-out views, else of the first training views."""


@dataclass(frozen=True)
class Truth:
    """What is known of a scene, to compare with."""

    views: Sequence[View] | None = None
    """Views of the same names with true cameras."""
    surface: Surface | None = None
    """In the capture's own coordinates, float32."""
    align: Align | None = None
    """Whether the mesh is first laid over the surface."""


def evaluate_scene(scene: Scene, out: Path, events: Listener, truth: Truth | None = None) -> Evaluation:
    """Measure all views, write `metrics.json` and `renders/test/*.png` into `out`.

    Where poses were estimated, held-out photos are first registered against the scene, which stays as it is.
    """
    truth = truth or Truth()
    renderer = SplatRenderer.of(scene)
    mesh = None if scene.mesh is None else MeshRenderer.of(scene)
    test, train = scene.split("test"), scene.split("train")
    located: dict[str, Any] = {}
    if test and poses_were_estimated(scene):
        test, located = _registered(test, renderer, events)
    pictures: list[ViewPictures] = []
    done = 0

    def keep(comparison: Comparison) -> None:
        nonlocal done
        done += 1
        events(Progress("evaluation", done, len(test) + len(train)))
        held_out = comparison.view.split == "test"
        if held_out or (not test and len(pictures) < _TRAINING_PICTURES):
            drawn = None if mesh is None else compare(comparison.view, mesh(comparison.view), background)
            pictures.append(ViewPictures.of(comparison, drawn))
        if held_out:
            path = Path(comparison.view.name).with_suffix(".png")
            write_png(out / "renders" / "test" / path, charts.to_bytes(comparison.rendered))

    background = renderer.behind_photos
    metrics: dict[str, Any] = {
        "test": evaluate_views(test, renderer, background, keep),
        "train": evaluate_views(train, renderer, background, keep),
        "poses": {
            "views": len(scene.views),
            "points": 0 if scene.points is None else len(scene.points.positions),
            **located,
            **_against(truth.views, scene.split("train")),
        },
        "splats": {"num_primitives": len(renderer.splats)},
    }
    if mesh is not None:
        metrics["mesh"] = {
            **topology(mesh.mesh).as_metrics(),
            "test": evaluate_views(test, mesh, background),
            "silhouettes": silhouettes(test, mesh) if renderer.coverage else {},
            **_surface(scene, truth),
        }
    elif truth.surface is not None:
        raise ReconError(f"{out}: no mesh to compare with the true surface", fix="run the mesh stage first")
    repaired = _repaired(scene, out, test or train[:_TRAINING_PICTURES], renderer, events)
    metrics["repaired"] = summarize({name: one.measured for name, one in repaired.items()})
    pictures = [one.with_repair(repaired.get(one.name)) for one in pictures]
    metrics = {name: values for name, values in metrics.items() if values}
    if "test" not in metrics and "train" not in metrics:
        raise ReconError(
            f"{out}: no view of the scene has a photo to compare with",
            fix="add photos: run the poses stage again, or `recon import` with --images",
        )
    write_json_atomic(out / "metrics.json", metrics)
    events(FileWritten(str(out / "metrics.json")))
    return Evaluation(metrics, tuple(pictures))


def _repaired(
    scene: Scene, out: Path, views: Sequence[View], renderer: SplatRenderer, events: Listener
) -> dict[str, RepairPictures]:
    """What priors make of the first of `views`, by name; nothing when the run had none that repair."""
    try:
        repairer = Repairer.of(scene, out, renderer)
    except ReconError as error:
        # The splats can be measured nevertheless.
        events(StageWarning("evaluation", f"renders are shown without repair: {error}"))
        return {}
    shown = [view for view in views if view.photo is not None][:_REPAIRED_PICTURES]
    if repairer is None or not shown:
        return {}
    return {
        one.request.camera.name: RepairPictures.of(one, compare(one.request.camera, one.image, renderer.behind_photos))
        for one in repairer(shown)
    }


def _registered(
    views: Sequence[View], renderer: SplatRenderer, events: Listener
) -> tuple[tuple[View, ...], dict[str, Any]]:
    """Held-out views where the splats show their photos best, and what metrics.json says of it."""
    found = []
    for done, view in enumerate(views, 1):
        found.append(register(view, renderer))
        events(Progress("evaluation", done, len(views)))
    turned = [one.turned_deg for one in found]
    note = {
        "how": "located by matches with the scene's points, then by look; the scene stays as it is",
        "turned_deg_median": statistics.median(turned),
        "turned_deg_worst": max(turned),
    }
    return tuple(one.view for one in found), {"held_out": note}


def _against(truth: Sequence[View] | None, views: Sequence[View]) -> dict[str, Any]:
    """Errors of the training cameras, where the true ones are known."""
    if truth is None:
        return {}
    errors = pose_errors(views, truth)
    if errors is None:
        raise ReconError(
            "the true cameras have no names in common with the training views",
            found=shorten([view.name for view in truth]), wanted=shorten([view.name for view in views]),
        )  # fmt: skip
    return {"errors": errors.figures()}


def _surface(scene: Scene, truth: Truth) -> dict[str, Any]:
    """Errors of the mesh, where the true surface is known."""
    if truth.surface is None:
        return {}
    mesh = in_source_coordinates(scene).mesh
    assert mesh is not None
    surface = mesh.vertices.float(), mesh.faces
    note: dict[str, Any] = {}
    if truth.align is not None:
        surface, aligned = align(surface, truth.surface, truth.align)
        note = {"aligned": aligned}
    return {"surface": {**compare_surfaces(surface, truth.surface).as_metrics(), **note}}


def write_report(scene: Scene, out: Path, run: Mapping[str, Any], evaluation: Evaluation, events: Listener) -> None:
    """Write `report.html` into `out`. `run` is what run.json holds."""
    record = next((one for one in reversed(scene.provenance) if one.stage == "splats"), None)
    history = read_history(out / "stages" / record.folder) if record else []
    has_test = "test" in evaluation.metrics
    page = render_html(
        Report(
            title=out.resolve().name,
            run=run,
            metrics=evaluation.metrics,
            pictures=evaluation.pictures,
            pictured="Held-out views" if has_test else "Training views",
            history=history,
        )
    )
    path = out / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    events(FileWritten(str(path)))


def write_exports(scene: Scene, out: Path, events: Listener) -> None:
    """Write `exports/splats.ply`, and `exports/mesh.glb` where there is a mesh."""
    assert scene.splats is not None
    path = out / "exports" / "splats.ply"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_splats(path, scene.splats)
    events(FileWritten(str(path)))
    if scene.mesh is not None:
        FORMATS["mesh"].write(scene, path.with_name("mesh.glb"))
        events(FileWritten(str(path.with_name("mesh.glb"))))
