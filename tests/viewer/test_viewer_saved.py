"""What is chosen in the page and kept: crop, path, single pages; and measuring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import family_room
import numpy as np
import pytest
import torch
from browser import PATIENCE_MS, Tab, psnr
from family_room import HEIGHT, WIDTH, Served

from recon.cli.main import main
from recon.errors import ReconError
from recon.evaluate.renderer import SplatRenderer
from recon.io.ply import read_splats
from recon.scene.store import SceneStore
from recon.viewer.saved import keyframe_views, parse_saved, read_saved
from recon.viewer.server import ViewerServer

pytestmark = pytest.mark.browser


@pytest.fixture
def editor(served: Served, tmp_path: Path, browser: Any) -> Iterator[tuple[Tab, ViewerServer]]:
    """A page of 900x600 px with a copy of the scene that can be written to; Gaussians shown."""
    server = ViewerServer(Path(shutil.copytree(served.folder, tmp_path / "room")), port=0)
    server.start()
    tab = Tab(browser.new_page(viewport={"width": 900, "height": 600}))
    tab.open(server.address + "#show=gaussian")
    yield tab, server
    tab.page.close()
    server.stop()


def test_a_crop_is_saved_and_exported(editor: tuple[Tab, ViewerServer], tmp_path: Path) -> None:
    tab, server = editor
    tab.snap("photo 0.png")
    before = tab.picture(WIDTH, HEIGHT)
    tab.page.get_by_text("Crop", exact=True).click()
    for name, value in {"x from": -9, "y from": -9, "z from": -9, "x to": 0, "y to": 9, "z to": 9}.items():
        tab.page.get_by_label(name, exact=True).fill(str(value))
    tab.page.get_by_text("Crop to a box").click()
    tab.run("recon.viewer.setLook({ minOpacity: 0.5 })")
    assert np.abs(tab.picture(WIDTH, HEIGHT) - before).mean() > 0.01
    tab.page.locator("button", has_text="Save to scene").first.click()
    tab.page.wait_for_function("() => window.recon.edit.status.textContent === 'Saved.'")
    saved = read_saved(server.folder)
    assert (saved.crop, saved.min_opacity) == ([-9, -9, -9, 0, 9, 9], 0.5)
    # Another page starts with it.
    tab.open(server.address + "?again#show=gaussian")
    assert tab.run("return recon.viewer.look.crop") == saved.crop
    # The last splats of the scene are what is exported: convexes here.
    ply = tmp_path / "cropped.ply"
    assert main(["export", str(server.folder), "--to", str(ply), "--saved"]) == 0
    kept, whole = read_splats(ply), SceneStore(server.folder).load().splats
    assert whole is not None and 0 < len(kept) < len(whole)
    assert float(kept["points"].mean(1)[:, 0].max()) <= 0
    assert float(torch.sigmoid(kept["opacity_logits"]).min()) >= 0.5
    assert main(["export", str(server.folder), "--saved", "--min-opacity", "0.1"]) == 2


def test_a_path_is_saved_and_rendered(editor: tuple[Tab, ViewerServer], tmp_path: Path) -> None:
    tab, server = editor
    tab.page.get_by_text("Path", exact=True).click()
    tab.snap("photo 0.png")
    tab.page.focus("canvas")
    tab.page.keyboard.press("k")
    tab.snap("photo 1.png")
    tab.page.get_by_role("button", name="Add keyframe").click()
    tab.run("recon.viewer.place(recon.viewer.state.eye.set(0, 2, 6), recon.viewer.state.target.set(0, 0, 0), 40)")
    tab.page.get_by_role("button", name="Add keyframe").click()
    assert tab.page.locator("ol li").count() == 3
    tab.page.get_by_role("button", name="Play").click()
    tab.page.wait_for_function(
        "() => window.recon.viewer.state.eye.distanceTo({ x: 0, y: 2, z: 6 }) > 1", timeout=PATIENCE_MS
    )
    tab.page.wait_for_function(
        "() => window.recon.viewer.state.eye.distanceTo({ x: 0, y: 2, z: 6 }) < 1e-3", timeout=PATIENCE_MS
    )
    tab.page.locator("button", has_text="Save to scene").last.click()
    tab.page.wait_for_function("() => window.recon.edit.status.textContent === 'Saved.'")
    views = keyframe_views(server.folder)
    for view, known in zip(views[:2], SceneStore(server.folder).load().views[:2], strict=True):
        torch.testing.assert_close(view.world_to_camera, known.world_to_camera, atol=1e-6, rtol=0)
        torch.testing.assert_close(view.camera.K, known.camera.K)
    torch.testing.assert_close(views[2].center, torch.tensor([0.0, 2, 6]).double(), atol=1e-6, rtol=0)
    frames = tmp_path / "frames"
    arguments = ["--path", "saved", "--frames", "3", "--to", str(frames), "--quiet"]
    assert main(["render", str(server.folder), *arguments]) == 0
    assert len(list(frames.iterdir())) == 3
    tab.page.get_by_role("button", name="Remove keyframe 2").click()
    assert tab.page.locator("ol li").count() == 2


def test_distances_are_measured(editor: tuple[Tab, ViewerServer]) -> None:
    tab, _ = editor
    tab.run("await recon.tree.show(['mesh'])")
    tab.run("recon.viewer.place(recon.viewer.state.eye.set(0, 0, 8), recon.viewer.state.target.set(0, 0, 0), 40)")
    tab.settle()
    tab.page.get_by_role("button", name="Measure").click()
    spots = tab.run("""const box = recon.viewer.canvas.getBoundingClientRect();
        return [-0.5, 0.5].map((x) => {
            const p = recon.viewer.state.eye.set(x, 0.2, 1).project(recon.viewer.camera);
            return [box.left + (p.x + 1) / 2 * box.width, box.top + (1 - p.y) / 2 * box.height];
        });""")
    for spot in spots:
        tab.page.mouse.click(*spot)
    # Two points on the front of a box, one unit from each other; a pixel is 0.01 of that.
    assert tab.run("return recon.measure.distance") == pytest.approx(1.0, abs=0.02)
    assert "units" in (tab.page.text_content(".labels") or "")
    tab.keep("measure")
    tab.page.get_by_role("button", name="Measure").click()
    tab.page.mouse.dblclick(*spots[1])
    assert tab.run("return recon.viewer.state.target.toArray()") == pytest.approx([0.5, 0.2, 1.0], abs=0.02)


def test_a_single_page_opens_from_disk(served: Served, tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "scene.html"
    assert main(["export", str(served.folder), "--format", "html", "--to", str(path)]) == 0
    assert str(served.folder) not in path.read_text(), "paths of this machine are nobody else's business"
    tab.open(path.as_uri() + "#show=convex&view=photo 1.png")
    wanted = SplatRenderer.of(served.scene)(served.scene.views[1]).double().numpy()
    assert psnr(tab.picture(WIDTH, HEIGHT), wanted) > 35
    tab.run("await recon.tree.show(['gaussian', 'mesh', 'points'])")
    tab.settle()
    tab.run("recon.compare.setMode('photo')")
    tab.page.wait_for_function("() => document.querySelector('.photo').naturalWidth > 0")
    tab.keep("single-page")
    assert not tab.faults
    assert all(url.startswith(("file:", "data:", "blob:")) for url in tab.requests)


GOOD = {"crop": None, "min_opacity": 0.0, "keyframes": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        json.dumps({**GOOD, "crop": [1, 2]}),
        json.dumps({**GOOD, "min_opacity": 2}),
        json.dumps({**GOOD, "crop": [float("nan")] * 6}),
        json.dumps({**GOOD, "keyframes": [{"world_to_camera": [0.0] * 16, "K": [1.0] * 9, "width": 0, "height": 5}]}),
        json.dumps({"crop": None}),
    ],
)
def test_what_makes_no_sense_is_not_saved(text: str) -> None:
    with pytest.raises(ReconError, match="viewer"):
        parse_saved(text.encode())


def test_saving_is_for_pages_of_this_server(editor: tuple[Tab, ViewerServer]) -> None:
    import urllib.error
    import urllib.request

    _, server = editor

    def post(body: bytes, **headers: str) -> int:
        request = urllib.request.Request(f"{server.address}api/saved", body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    good = json.dumps(GOOD).encode()
    assert post(good, Origin="http://evil.example") == 403
    assert post(b"{}") == 400
    assert post(b" " * (2 << 20)) == 413
    assert not (server.folder / "viewer.json").exists()
    assert post(good) == 200
    assert parse_saved((server.folder / "viewer.json").read_bytes()).keyframes == []


def test_a_path_that_was_not_saved_is_one_message(tmp_path: Path) -> None:
    family_room.publish(tmp_path, splats=3, families=("gaussian",))
    assert main(["render", str(tmp_path), "--path", "saved"]) == 2
