"""`recon bench priors`: what the gate lets through. Priors that know nothing, lie, or know everything, in whole runs.

On procedural captures, whose ray tracer can say what a novel view shows. `identity` returns the render; `noise` is sure
of noise all over; `sly` leaves alone what the photos confirm and is sure of noise elsewhere; `truth` traces rays, which
shows what a perfect prior is worth to the loop; `soft` knows the truth at a quarter of the size.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from recon.bench.measure import machine
from recon.bench.quality import make_capture
from recon.bench.report import Report
from recon.evaluate.image import evaluate_views
from recon.evaluate.renderer import SplatRenderer
from recon.geometry import rigid
from recon.pipeline.config import RunConfig, load_config
from recon.pipeline.run import run
from recon.priors import Prior, Repaired, RepairRequest
from recon.priors.pixels import resized
from recon.scene import Scene
from recon.splats.optimize import optimize

COLUMNS = ("capture", "photos", "prior", "held out dB", "SSIM", "training dB", "change dB", "of SSIM", "of training dB")
Runs = list[tuple[float, ...]]


@dataclass(frozen=True)
class Options:
    """Held-out and training PSNR with priors of known worth, against the same runs without."""

    captures: Annotated[tuple[str, ...], tyro.conf.Positional] = ("table", "corner")
    """Procedural captures."""
    views: tuple[int, ...] = (3, 9)
    """Numbers of training photos."""
    seeds: int = 1
    """Runs of each, with seeds 0, 1, ..."""
    priors: tuple[str, ...] = ("identity", "noise", "sly", "soft", "truth")
    """Which of them."""
    max_side: int = 320
    """Longer side of the photos, px."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Overrides for all runs, such as --set splats.guidance.weight=0.5."""
    out: Path = Path("out/priors")
    """Folder for the captures, and the table as Markdown and JSON."""


@dataclass(frozen=True)
class Known:
    """A prior whose answers are known; sure of all of them."""

    answer: Callable[[RepairRequest], torch.Tensor]

    def repair(self, request: RepairRequest) -> Repaired:
        """See `RepairPrior`."""
        return Repaired(self.answer(request), torch.ones_like(request.alpha))


def main(options: Options) -> None:
    """Print the table."""
    report, rows = Report(machine()), []
    for name in options.captures:
        path = make_capture(name, options.out)
        for count in options.views:
            found: dict[str, Runs] = {}
            for seed in range(options.seeds):
                for prior, numbers in _measure(path, name, count, seed, options).items():
                    found.setdefault(prior, []).append(numbers)
            for prior, runs in found.items():
                rows.append(
                    [name, count, prior, *_means(runs, "{:.3f}"), *_means(_less(runs, found["none"]), "{:+.3f}")]
                )
    report.add(COLUMNS, rows)
    report.write(options.out, "priors")


def _means(runs: Runs, form: str) -> list[str]:
    """The mean of every number over seeds."""
    return [form.format(statistics.mean(column)) for column in zip(*runs, strict=True)]


def _less(runs: Runs, base: Runs) -> Runs:
    """Differences within each seed."""
    return [tuple(a - b for a, b in zip(one, other, strict=True)) for one, other in zip(runs, base, strict=True)]


def _measure(path: Path, name: str, count: int, seed: int, options: Options) -> dict[str, tuple[float, ...]]:
    """Held-out PSNR and SSIM and training PSNR of a run without a prior and of one with each."""
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
        told = [
            *options.set,
            f"views.train={count}",
            f"max_side={options.max_side}",
            f"seed={seed}",
            f"output={folder}",
        ]
        config = load_config(path, told)
        scene = run(config, until="poses").scene
        asked: dict[str, list[Prior]] = {"none": []}
        asked |= {one: [known_prior(one, name, scene)] for one in options.priors}
        return {one: _run(config, scene, priors) for one, priors in asked.items()}


def _run(config: RunConfig, scene: Scene, priors: list[Prior]) -> tuple[float, ...]:
    splats = optimize(scene, config.splats, seed=config.seed, priors=priors).scene.splats
    assert splats is not None
    renderer = SplatRenderer(splats, torch.zeros(3), False, config.splats.antialias)
    test, train = (evaluate_views(scene.split(split), renderer, None) for split in ("test", "train"))  # type: ignore[arg-type]
    return test["psnr"], test["ssim"], train["psnr"]


def known_prior(kind: str, capture: str, scene: Scene) -> Known:
    """The prior of that name, for a scene that was made from a procedural capture."""
    if kind in ("truth", "soft"):
        trace = _tracer(capture, scene)
        return Known(trace if kind == "truth" else lambda request: _softened(trace(request)))
    generator = torch.Generator().manual_seed(0)

    def noise(request: RepairRequest) -> torch.Tensor:
        return torch.rand(request.render.shape, generator=generator)

    def sly(request: RepairRequest) -> torch.Tensor:
        return torch.where((request.confidence > 0.3)[..., None], request.render, noise(request))

    return Known({"identity": lambda request: request.render.clone(), "noise": noise, "sly": sly}[kind])


def _softened(image: torch.Tensor) -> torch.Tensor:
    """A picture that has been a quarter of its size."""
    height, width = image.shape[:2]
    return resized(resized(image, width // 4, height // 4), width, height)


def _tracer(capture: str, scene: Scene) -> Callable[[RepairRequest], torch.Tensor]:
    """Traces the rays of the capture's own scene."""
    from recon_datasets.catalog import SCENES
    from recon_datasets.render import PinholeCamera, render_view

    model: Any = SCENES[capture](0)
    to_source = scene.source_from_world.double()
    unit = float(to_source[:3, 0].norm())

    def traced(request: RepairRequest) -> torch.Tensor:
        view = request.camera
        # Rays start at the camera's centre in metres and go where its axes point there.
        rotation = view.world_to_camera[:3, :3].double() @ (to_source[:3, :3] / unit).T
        center = rigid.transform_points(to_source, view.center[None])[0]
        pose = rigid.from_rotation_translation(rotation, -(rotation @ center))
        camera = PinholeCamera(view.camera.width, view.camera.height, view.camera.K.numpy(), pose.numpy())
        return torch.from_numpy(render_view(model, camera).rgb).float() / 255

    return traced
