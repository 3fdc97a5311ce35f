"""Photos and cameras of a run that is finding out where its photos were taken from."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from browser import PATIENCE_MS, Tab
from family_room import Served
from PIL import Image

from recon import events
from recon.io.decode import write_png
from recon.scene import Node, Photo, Points, Scene
from recon.viewer.live import LiveRun
from recon.viewer.photos import PICTURE_PX, small_picture
from recon.viewer.server import ViewerServer

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]


def placed(served: Served, count: int, points: int = 0) -> events.PhotosPlaced:
    """The first `count` photos of the room have a place."""
    scene = Scene(served.scene.views[:count])
    if points:
        scene = scene.with_node(Node("points", Points(torch.randn(points, 3), torch.rand(points, 3))))
    return events.PhotosPlaced("poses", served.scene.views, lambda: scene)


def wait_for(tab: Tab, count: int) -> None:
    tab.page.wait_for_selector(f"html[data-placed='{count}']", state="attached", timeout=PATIENCE_MS)


def test_photos_come_first_and_cameras_as_they_find_their_places(
    served: Served, live: tuple[LiveRun, ViewerServer], tab: Tab
) -> None:
    run, server = live
    run(events.StageStarted("poses"))
    run(placed(served, 0))
    tab.page.set_viewport_size({"width": 800, "height": 450})
    tab.page.goto(server.address)
    wait_for(tab, 0)
    buttons = tab.page.locator(".photos button")
    assert buttons.count() == 3 and all(one.is_disabled() for one in buttons.all())
    tab.page.wait_for_function("() => [...document.querySelectorAll('.photos img')].some((one) => one.naturalWidth)")
    run(placed(served, 2, points=50))
    wait_for(tab, 2)
    assert [one.is_disabled() for one in buttons.all()] == [False, False, True]
    assert tab.run("return recon.viewer.frustums.group.visible && recon.viewer.frustums.group.children.length") == 2
    tab.page.wait_for_function("() => window.recon.viewer.layers.get('points so far')?.count === 50")
    assert tab.run("return recon.viewer.data.views[0].K") == served.scene.views[0].camera.K.flatten().tolist()
    assert "2 of 3" in tab.page.inner_text(".status")
    # Whoever has chosen a place stays there, and the pictures are not fetched again.
    tab.run("recon.viewer.place(recon.viewer.state.eye.set(0, 3, 12), recon.viewer.state.target.set(0, 0, 0), 50)")
    run(placed(served, 3))
    wait_for(tab, 3)
    assert tab.run("return recon.viewer.state.eye.toArray()") == pytest.approx([0, 3, 12])
    tab.page.click('[data-view="photo 2.png"]')
    assert tab.run("return recon.viewer.state.snapped.name") == "photo 2.png"
    tab.page.click('[data-compare="photo"]')
    tab.page.wait_for_function("() => document.querySelector('.photo').naturalWidth > 0")
    assert not tab.faults


def test_small_pictures_are_given_of_photos_of_the_run_alone(
    served: Served, live: tuple[LiveRun, ViewerServer], tmp_path: Path
) -> None:
    run, server = live
    (tmp_path / "secret.png").write_bytes(b"secret")
    broken = replace(served.scene.views[1], name="broken.png", photo=Photo(tmp_path / "secret.png"))

    def status(name: str) -> int:
        try:
            with urllib.request.urlopen(f"{server.address}api/photos/{name}", timeout=10) as answer:
                assert answer.headers["Content-Type"] == "image/jpeg"
                with Image.open(io.BytesIO(answer.read())) as picture:
                    assert picture.size == (200, 150)
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status("photo%200.png") == 404, "no photo is known yet"
    run(events.PhotosPlaced("poses", [*served.scene.views, broken], Scene))
    assert status("photo%200.png") == 200
    names = ["secret.png", "../secret.png", "..%2fsecret.png", "", "broken.png"]
    assert {name: status(name) for name in names} == dict.fromkeys(names, 404)
    assert status("photo%200.png") == 200


def test_small_pictures_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (1200, 900))
    wide.paste((255, 0, 0), (0, 0, 600, 900))
    wide.save(tmp_path / "a.jpg", exif=exif)
    with Image.open(io.BytesIO(small_picture(tmp_path / "a.jpg"))) as picture:
        assert picture.size == (round(0.75 * PICTURE_PX), PICTURE_PX)
        top = picture.convert("RGB").getpixel((120, 20))
    assert isinstance(top, tuple) and top[0] > 200 > 50 > top[1], "what was left is on top"


@pytest.mark.slow
def test_a_run_without_poses_shows_its_cameras_before_the_stage_is_over(tab: Tab, tmp_path: Path) -> None:
    """Structure from motion on five ray-traced photos."""
    from recon_datasets import SCENES, cameras_of, render_view

    model = SCENES["table"](0)
    for index, camera in enumerate(cameras_of(model, 24, 320, 240, 0)[8:13]):
        write_png(tmp_path / "photos" / f"{index}.png", render_view(model, camera, samples=1).rgb)
    scene = tmp_path / "scene.yaml"
    scene.write_text(
        "images: photos\nviews: {test: [2.png]}\nposes: {method: sfm, dense: {method: none}}\noutput: out\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "recon.cli.main", "run", str(scene), "--until", "poses", "--view", "--port", "0"],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        threading.Thread(target=process.stderr.read, daemon=True).start()
        tab.page.set_viewport_size({"width": 800, "height": 450})
        tab.page.goto(address)
        # Held-out photos find theirs after the training photos.
        wait_for(tab, 4)
        assert not (tmp_path / "out" / "scene.gltf").exists(), "nothing is published yet"
        assert tab.run("return recon.viewer.frustums.group.children.length") == 4
        tab.page.wait_for_function("() => window.recon.viewer.layers.get('points so far')?.count > 100")
        tab.settle()
        tab.keep("placing")
        wait_for(tab, 5)
        tab.page.wait_for_selector("html[data-state=ready]", state="attached", timeout=PATIENCE_MS)
        assert tab.run("return [recon.tree.shown.join(), recon.tree.camerasShown]") == ["points", True]
        assert not tab.faults
    finally:
        process.kill()
        process.wait()
