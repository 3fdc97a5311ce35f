"""The chain of stages: every stage is published as soon as it is done and skipped when it was done before."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from recon.errors import ReconError
from recon.events import Event, Listener, StageFinished, StageStarted, StageWarning
from recon.pipeline import environment
from recon.pipeline.config import RunConfig, differences, to_plain
from recon.pipeline.interrupt import Control, Uncontrolled, graceful_stop
from recon.pipeline.mesh_stage import MeshStage
from recon.pipeline.outputs import evaluate_scene, write_exports, write_report
from recon.pipeline.poses_stage import PosesStage
from recon.pipeline.splats_stage import SplatsStage
from recon.pipeline.stage import Stage, StageContext
from recon.scene import Scene
from recon.scene.atomic import write_json_atomic
from recon.scene.store import SceneStore

StageName = Literal["poses", "splats", "mesh"]

# What the file system may say no with; anything else is a fault of this package.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
             errno.EFBIG, errno.ENAMETOOLONG}  # fmt: skip


@dataclass(frozen=True)
class RunResult:
    """What a run made."""

    scene: Scene
    """The published scene."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """What metrics.json holds; empty when the run ended before the splats."""
    interrupted: bool = False
    """True when the user stopped it; what there was is published."""


def stages_of(config: RunConfig) -> list[Stage]:
    """The chain, in order."""
    return [PosesStage(config), SplatsStage(config), MeshStage(config)]


def run(
    config: RunConfig,
    *,
    until: StageName | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    argv: Sequence[str] = (),
    control: Control | None = None,
) -> RunResult:
    """Make what `config` asks for in the folder `config.output`.

    until: last stage to make; by default the mesh when the configuration has a section for it, else the splats.
    resume: continue an interrupted optimisation from its checkpoint.
    force: make stages again that are published with the same settings and inputs.   argv: noted in run.json.
    control: who else may pause or stop the optimisation.
    Ctrl-C during the optimisation publishes the splats so far. Raises ReconError for what the user can mend; what was
    published before stays as it was.
    """
    if config.device == "cuda":
        raise ReconError("device: cuda: this build computes on the CPU", fix="set device: auto")
    until = until or ("splats" if config.mesh is None else "mesh")
    out = config.output
    notes = _Notes(listeners)
    started, clock = _now(), time.perf_counter()
    with refused_writes(out):
        out.mkdir(parents=True, exist_ok=True)
        store = SceneStore(out)
        with store.lock():
            store.prune()
            scene, interrupted = Scene(), False
            for stage in stages_of(config):
                scene, interrupted = _advance(
                    stage, scene, store, out, notes, resume, force, config, control or Uncontrolled()
                )  # fmt: skip
                if interrupted or stage.name == until:
                    break
            record: dict[str, Any] = {
                "argv": list(argv),
                "started": started,
                "interrupted": interrupted,
                "until": until,
                "config": to_plain(config),
                "differences": differences(config),
                "versions": environment.versions(),
                "host": environment.host(),
            }
            if until == "poses" or scene.splats is None:
                write_json_atomic(out / "run.json", _closed(record, notes, clock))
                return RunResult(scene, {}, interrupted)
            notes(StageStarted("evaluation"))
            begin = time.perf_counter()
            environment.reset_peak_memory()
            evaluation = evaluate_scene(scene, out, notes)
            write_exports(scene, out, notes)
            seconds = time.perf_counter() - begin
            notes.stages.append(
                {"stage": "evaluation", "seconds": seconds, "peak_memory_mb": environment.peak_memory_mb()}
            )
            record = _closed(record, notes, clock)
            write_json_atomic(out / "run.json", record)
            write_report(scene, out, record, evaluation, notes)
            notes(StageFinished("evaluation", time.perf_counter() - begin, summary=headline(evaluation.metrics)))
    return RunResult(scene, evaluation.metrics, interrupted)


def headline(metrics: dict[str, Any]) -> str:
    """The figures of metrics.json that people look for, in one line."""
    words = {"test": "held out", "train": "training"}
    parts = []
    for split, one in metrics.items():
        if split in words:
            views = "1 view" if len(one["views"]) == 1 else f"{len(one['views'])} views"
            parts.append(f"{words[split]} {views} {one['psnr']:.2f} dB, SSIM {one['ssim']:.3f}")
    return "; ".join(parts)


@contextmanager
def refused_writes(out: Path) -> Iterator[None]:
    """Turn what the file system says to writing below `out` into one message for the user."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        fix = {
            errno.ENOSPC: "free some space or set another output; the last published scene is unharmed",
            errno.EDQUOT: "free some of your quota or set another output; the last published scene is unharmed",
        }.get(error.errno or 0, "set output to a folder that you may write to")
        path = error.filename if error.filename else out
        raise ReconError(f"{path}: cannot be written", found=error.strerror or error, fix=fix) from error


class _Notes:
    """Passes events on, and remembers warnings and stages for run.json."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners
        self.warnings: list[str] = []
        self.stages: list[dict[str, Any]] = []

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, StageWarning):
            self.warnings.append(f"{event.stage}: {event.message}")
        for listener in self.listeners:
            listener(event)


def _advance(
    stage: Stage, scene: Scene, store: SceneStore, out: Path, notes: _Notes, resume: bool, force: bool,
    config: RunConfig, control: Control,
) -> tuple[Scene, bool]:  # fmt: skip
    """The scene after `stage`, made or taken from what is published, and whether the user stopped it."""
    notes(StageStarted(stage.name))
    begin, earlier_warnings = time.perf_counter(), len(notes.warnings)
    environment.reset_peak_memory()
    key = stage.key(scene)
    done = None if force else store.find_stage(stage.name, key)
    if done is not None and not done.info.get("interrupted"):
        published = store.load()
        notes.stages.append({"stage": stage.name, "reused": True, **_shown(done.info)})
        notes.warnings += done.info.get("warnings", ())
        notes(StageFinished(stage.name, time.perf_counter() - begin, True, summary=str(done.info.get("summary", ""))))
        return published, False
    checkpoints = out / "checkpoints" / f"{stage.name}-{key[:16]}"
    with store.begin(stage.name, key) as writer:
        with graceful_stop() if stage.name == "splats" else _immediate_stop() as interrupted:
            context = StageContext(writer.path, notes, lambda: control.should_stop(interrupted), checkpoints, resume)
            made = stage.make(scene, context)
        info: dict[str, Any] = {
            **made.info,
            "summary": made.summary,
            "seconds": round(time.perf_counter() - begin, 3),
            "peak_memory_mb": round(environment.peak_memory_mb(), 1),
            "warnings": notes.warnings[earlier_warnings:],
            "settings": dict(stage.settings),
            "seed": config.seed,
            "versions": environment.versions(),
        }
        if made.interrupted:
            info["interrupted"] = True
        writer.publish(made.scene, info)
    # What follows works on what is on disk, as a later run would: numbers are rounded when they are written.
    published = store.load()
    if not made.interrupted:
        shutil.rmtree(checkpoints, ignore_errors=True)
    notes.stages.append({"stage": stage.name, **_shown(info)})
    seconds = time.perf_counter() - begin
    notes(StageFinished(stage.name, seconds, False, made.interrupted, made.summary))
    return published, made.interrupted


@contextmanager
def _immediate_stop() -> Iterator[Any]:
    """For stages that cannot stop half way: Ctrl-C raises KeyboardInterrupt as usual."""
    yield lambda: False


def _shown(info: Any) -> dict[str, Any]:
    """What run.json repeats of a stage's manifest."""
    return {name: value for name, value in info.items() if name not in ("settings", "versions", "seed", "warnings")}


def _closed(record: dict[str, Any], notes: _Notes, clock: float) -> dict[str, Any]:
    return record | {
        "finished": _now(),
        "seconds": round(time.perf_counter() - clock, 3),
        "stages": notes.stages,
        "warnings": notes.warnings,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
