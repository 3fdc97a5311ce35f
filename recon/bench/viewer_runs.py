"""What the viewer's page draws of finished runs, beside what the core draws from the same cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from recon.bench.chromium import capture
from recon.evaluate.mesh_renderer import MeshRenderer
from recon.evaluate.renderer import SplatRenderer
from recon.scene import Mesh, Scene, Splats, View
from recon.scene.store import SceneStore
from recon.viewer.server import ViewerServer

VIEWS = 3
"""Training views of each run, evenly spaced."""
_PATIENCE_MS = 600_000
_STAND = """async ([node, view]) => {
    const { viewer, tree, data } = window.recon;
    await tree.show([node]);
    viewer.snap(data.views.find((one) => one.name === view));
}"""


def compare_runs(runs: Sequence[Path], browser: Any, out: Path | None) -> list[list[object]]:
    """Rows of run, node, family, view and dB.   out: folder for page, core and four times their difference."""
    return [row for run in runs for row in _compare(run, browser, out)]


def _compare(run: Path, browser: Any, out: Path | None) -> list[list[object]]:
    scene = SceneStore(run).load()
    views = scene.split("train")
    views = views[:: max(1, len(views) // VIEWS)][:VIEWS]
    server = ViewerServer(run, port=0)
    server.start()
    page = browser.new_page(viewport={"width": 400, "height": 300})
    rows: list[list[object]] = []
    try:
        page.goto(server.address)
        page.wait_for_selector("html[data-state=ready]", state="attached", timeout=_PATIENCE_MS)
        for node, kind, renderer in _drawn(scene):
            for view in views:
                page.evaluate(_STAND, [node, view.name])
                shown = capture(page, view.camera.width, view.camera.height, _PATIENCE_MS)
                wanted = renderer(view).double().numpy()
                mean = float(((shown - wanted) ** 2).mean())
                rows.append([run.name, node, kind, view.name, float(-10 * np.log10(max(mean, 1e-12)))])
                if out is not None:
                    out.mkdir(parents=True, exist_ok=True)
                    row = np.concatenate([shown, wanted, 4 * np.abs(shown - wanted)], axis=1).clip(0, 1)
                    name = f"{run.name}-{node}-{Path(view.name).stem}.png".replace("/", "-")
                    Image.fromarray((255 * row + 0.5).astype(np.uint8)).save(out / name)
    finally:
        page.close()
        server.stop()
    return rows


def _drawn(scene: Scene) -> list[tuple[str, str, Callable[[View], Tensor]]]:
    """Id and kind of the last splats and of the mesh, with what draws them."""
    nodes = {type(node.content): node.id for node in scene.nodes}
    found: list[tuple[str, str, Callable[[View], Tensor]]] = []
    if scene.splats is not None:
        found.append((nodes[Splats], scene.splats.family, SplatRenderer.of(scene)))
    if scene.mesh is not None:
        found.append((nodes[Mesh], "mesh", MeshRenderer.of(scene)))
    return found
