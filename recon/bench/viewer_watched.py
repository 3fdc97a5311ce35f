"""What watching a run costs it: trainings with and without a page, processor time of each."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from recon.events import Event, StageFinished, StageStarted
from recon.pipeline.config import RunConfig, load_config
from recon.pipeline.run import run
from recon.viewer.live import LiveRun
from recon.viewer.server import ViewerServer

_SIZE = {"width": 400, "height": 300}
_PATIENCE_MS = 600_000


class _Clock:
    """Processor time of this process in the stage that optimises."""

    seconds = 0.0

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, StageStarted) and event.stage == "splats":
            self.seconds = -time.process_time()
        elif isinstance(event, StageFinished) and event.stage == "splats":
            self.seconds += time.process_time()


class _Metered:
    """What the viewer takes of the optimisation's thread: a listener around its own."""

    def __init__(self, live: LiveRun) -> None:
        self.live, self.seconds = live, 0.0

    def __call__(self, event: Event, /) -> None:
        begin = time.thread_time()
        self.live(event)
        self.seconds += time.thread_time() - begin


def watched_pairs(scene: Path | None, iterations: int, pairs: int, folder: Path, browser: Any) -> list[list[object]]:
    """A row for each pair, and one of medians. scene: a scene.yaml; None for the demo's, which is made anew."""
    scene = scene or _demo(folder)
    sets = [f"splats.iterations={iterations}", f"output={folder / 'out'}"]
    config = load_config(scene, sets)
    rows: list[list[object]] = []
    shares, owns = [], []
    run(load_config(scene, [*sets, "splats.iterations=20"]), until="splats")  # what only the first one pays
    for pair in range(1, pairs + 1):
        alone, watched, frames, own = _Clock(), _Clock(), 0, 0.0
        for which in ("alone", "watched") if pair % 2 else ("watched", "alone"):
            if which == "alone":
                run(config, until="splats", force=True, listeners=[alone])
            else:
                frames, own = _watch(config, watched, browser)
        shares.append(100 * (watched.seconds / alone.seconds - 1))
        owns.append(100 * own / watched.seconds)
        rows.append([pair, alone.seconds, watched.seconds, shares[-1], frames, owns[-1]])
    return [*rows, ["median", "", "", statistics.median(shares), "", statistics.median(owns)]]


def _demo(folder: Path) -> Path:
    """scene.yaml of the demo, made anew."""
    from recon_datasets.capture import make_capture

    make_capture(scene="table", out=folder / "capture")
    path = folder / "scene.yaml"
    path.write_text("images: capture\nviews: {train: 9, file: capture/splits.json}\noutput: out\n")
    return path


def _watch(config: RunConfig, clock: _Clock, browser: Any) -> tuple[int, float]:
    """A training that one page watches: how many frames it was given, and processor seconds of what the viewer did in
    the optimisation's thread and in its own."""
    live = LiveRun()
    server = ViewerServer(config.output, port=0, live=live)
    server.start()
    page = browser.new_page(viewport=_SIZE)
    try:
        page.goto(server.address)
        page.wait_for_selector("html[data-state=ready]", state="attached", timeout=_PATIENCE_MS)
        metered, before = _Metered(live), server.processor_seconds()
        run(config, until="splats", force=True, listeners=[metered, clock], control=live)
        frames = int(page.evaluate("() => document.documentElement.dataset.frame ?? 0"))
        return frames, metered.seconds + server.processor_seconds() - before
    finally:
        page.close()
        server.stop()
