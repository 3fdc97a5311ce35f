"""`recon bench viewer`: the page in a software WebGL beside PlayCanvas's engine, and what watching a run costs it."""

from __future__ import annotations

import functools
import gzip
import http.server
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recon.bench.chromium import browser_path, launch
from recon.bench.measure import machine
from recon.bench.report import Report
from recon.bench.viewer_runs import compare_runs
from recon.bench.viewer_watched import watched_pairs
from recon.errors import ReconError
from recon.io.formats import FORMATS
from recon.pipeline.importing import Source, import_scene
from recon.scene import Node, Scene, Splats
from recon.viewer.page import FOLDER
from recon.viewer.server import ViewerServer

SIZE = {"width": 400, "height": 300}
"""Of the page, px."""
_PATIENCE_MS = 600_000
_MEASURE = """(frames) => new Promise((resolve) => {
    const { viewer } = window.recon;
    const gl = viewer.canvas.getContext("webgl2");
    const { eye, target, fovDeg } = viewer.state;
    const before = viewer.onDraw;
    const stand = (angle) =>
        viewer.place(eye.clone().sub(target).applyAxisAngle(viewer.camera.up, angle).add(target), target, fovDeg);
    let done = -1;
    let start = 0;
    viewer.onDraw = () => {
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
        if (done < 0) start = performance.now();
        if (++done === frames) {
            viewer.onDraw = before;
            resolve((performance.now() - start) / frames);
        } else stand(0.02 * done);
    };
    stand(0);
})"""
"""Milliseconds of a frame, each from another place, with the graphics card waited for."""


@dataclass(frozen=True)
class Options:
    """The viewer's page of 400x300 px in headless Chromium: first picture and frame times of random Gaussians, beside
    PlayCanvas's engine on the same ones; then a training with and without a page that watches."""

    splats: tuple[int, ...] = (5_000, 50_000)
    """Gaussians of the scenes; none for no such table."""
    frames: int = 10
    """Frames to average over."""
    playcanvas: Path = Path("tests/tools")
    """Folder with PlayCanvas's engine (npm install --force --no-package-lock there) and a page for it."""
    pairs: int = 3
    """Trainings with and without a page, one of each after the other; 0 for none."""
    iterations: int = 1000
    """Of such a training."""
    scene: Path | None = None
    """scene.yaml of the training; by default the demo's."""
    runs: tuple[Path, ...] = ()
    """Output folders of runs: the page's pictures from training cameras against the core's, splats and mesh."""
    out: Path | None = None
    """Folder for the tables as Markdown and JSON, and for pictures of `runs`."""


def main(options: Options) -> None:
    """Print the tables."""
    path = browser_path()
    if path is None:
        raise ReconError("recon bench viewer needs Chromium", fix="install it, or name it in RECON_CHROMIUM")
    report = Report(f"{machine()}; headless Chromium, software WebGL, {SIZE['width']}x{SIZE['height']} px")
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder, launch(path) as browser:
        rows = [_row(count, Path(folder) / str(count), options, browser) for count in options.splats]
        if rows:
            columns = ["Gaussians", "first splats s", "picture s", "ms a frame", "memory MB"]
            theirs = ["PlayCanvas: picture s", "ms a frame"]
            report.add([*columns, *theirs], rows, "The page, from a running server")
        if options.runs:
            rows = compare_runs(options.runs, browser, options.out and options.out / "pictures")
            report.add(["run", "node", "kind", "view", "dB"], rows, "The page's pictures against the core's")
        if options.pairs:
            rows = watched_pairs(options.scene, options.iterations, options.pairs, Path(folder), browser)
            heading = f"Processor seconds of {options.iterations} iterations, the server's included"
            report.add(["pair", "alone", "watched", "more %", "frames", "viewer's own %"], rows, heading)
    size = sum(
        len(gzip.compress(file.read_bytes(), 9)) for file in FOLDER.iterdir() if file.suffix in (".html", ".js", ".css")
    )
    report.add(["page, MB gzipped"], [[size / 1e6]])
    report.write(options.out, "viewer")


def cloud(count: int) -> Splats:
    """Gaussians with all harmonics in a ball of radius 1 that cover about as much whatever their number."""
    g = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=1)
    return Splats(
        "gaussian",
        {
            "means": direction * torch.rand(count, 1, generator=g) ** (1 / 3),
            "quats": torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1),
            "log_scales": torch.full((count, 3), 0.05).log() + 0.3 * torch.randn(count, 3, generator=g)
            - torch.tensor(count / 5000).log() / 3,
            "opacity_logits": 1 + torch.randn(count, generator=g),
            "sh_coeffs": torch.randn(count, 16, 3, generator=g) * torch.tensor([1.0, *[0.1] * 15])[:, None],
        },
    )  # fmt: skip


def _row(count: int, folder: Path, options: Options, browser: Any) -> list[object]:
    splats = cloud(count)
    import_scene(folder / "scene", Source(splats, str(count)), None, name="random", events=lambda event: None)
    server = ViewerServer(folder / "scene", port=0)
    server.start()
    page = browser.new_page(viewport=SIZE)
    try:
        page.goto(server.address)
        page.wait_for_selector("html[data-state=ready]", state="attached", timeout=_PATIENCE_MS)
        first = page.evaluate("async () => { await window.recon.viewer.settled(); return performance.now(); }")
        some = page.evaluate("() => performance.getEntriesByName('layer')[0].startTime")
        frame = page.evaluate(_MEASURE, options.frames)
        memory = page.evaluate(
            "() => [...window.recon.viewer.layers.values()].reduce((sum, one) => sum + one.bytes, 0)"
        )
    finally:
        page.close()
        server.stop()
    theirs = _playcanvas(splats, folder / "playcanvas", options, browser)
    return [count, some / 1e3, first / 1e3, frame, memory / 1e6, *theirs]


def _playcanvas(splats: Splats, folder: Path, options: Options, browser: Any) -> tuple[object, object]:
    """Seconds to the first picture and milliseconds of a frame; empty where the engine is not installed."""
    engine = options.playcanvas / "node_modules" / "playcanvas" / "build" / "playcanvas.min.mjs"
    if not engine.is_file():
        return "not installed", ""
    folder.mkdir()
    shutil.copy(engine, folder / "playcanvas.mjs")
    shutil.copy(options.playcanvas / "playcanvas.html", folder / "index.html")
    FORMATS["ply"].write(Scene(nodes=(Node("splats", splats),)), folder / "splats.ply")
    with _files(folder) as address:
        page = browser.new_page(viewport=SIZE)
        try:
            page.goto(address)
            page.wait_for_function("() => window.firstPicture !== undefined", timeout=_PATIENCE_MS)
            return page.evaluate("() => window.firstPicture") / 1e3, page.evaluate("(n) => measure(n)", options.frames)
        finally:
            page.close()


@contextmanager
def _files(folder: Path) -> Iterator[str]:
    """The address of a server of the files of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
