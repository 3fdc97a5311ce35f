"""The page's controls, and what it says when something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Tab
from family_room import HEIGHT, WIDTH, Served

from recon.viewer.server import ViewerServer

pytestmark = pytest.mark.browser


@pytest.fixture
def spoiled(served: Served, tmp_path: Path) -> Iterator[ViewerServer]:
    """A server for a copy of the scene that a test may spoil."""
    server = ViewerServer(Path(shutil.copytree(served.folder, tmp_path / "room")), port=0)
    server.start()
    yield server
    server.stop()


def pressed(tab: Tab) -> str:
    """Which way of comparing is chosen."""
    return str(tab.page.get_attribute(".compare button[aria-pressed=true]", "data-compare"))


def test_the_tree_shows_and_hides(shown: Tab) -> None:
    shown.snap("photo 0.png")
    shown.run("await recon.tree.show([])")
    empty = shown.picture(WIDTH, HEIGHT)
    assert float(empty.std(axis=(0, 1)).max()) < 1e-6, "nothing but the background"
    pictures = [empty]
    for node in ("points", "gaussian", "mesh"):
        box = shown.page.locator(f'input[data-node="{node}"]')
        box.check()
        shown.page.wait_for_function("(id) => window.recon.viewer.layers.get(id)?.object.visible === true", arg=node)
        shown.settle()
        pictures.append(shown.picture(WIDTH, HEIGHT))
        assert np.abs(pictures[-1] - empty).mean() > 0.01, node
        box.uncheck()
    assert np.abs(pictures[1] - pictures[2]).mean() > 0.01
    shown.page.get_by_label("Show Poses alone").click()
    shown.page.wait_for_function("() => window.recon.tree.shown.join() === 'points'")


def test_photos_are_compared(shown: Tab) -> None:
    shown.run("await recon.tree.show(['gaussian'])")
    shown.page.click('[data-view="photo 1.png"]')
    assert shown.page.inner_text(".compare .title") == "photo 1.png"
    assert shown.page.get_attribute(".photos [aria-current=true]", "data-view") == "photo 1.png"
    shown.settle()
    place = shown.run("return recon.viewer.photoPlace()")
    assert place["width"] / place["height"] == pytest.approx(WIDTH / HEIGHT)
    for mode in ("photo", "split", "difference", "flicker"):
        shown.page.click(f'[data-compare="{mode}"]')
        assert pressed(shown) == mode
        shown.page.wait_for_function("() => document.querySelector('.photo').complete")
        box = shown.page.eval_on_selector(".photo", "(photo) => photo.getBoundingClientRect().toJSON()")
        if not shown.page.eval_on_selector(".photo", "(photo) => photo.hidden"):
            assert box["width"] == pytest.approx(place["width"], abs=1)
        shown.keep(f"compare-{mode}")
    seen = {shown.page.eval_on_selector(".photo", "(photo) => photo.hidden") for _ in wait(shown, 15, 100)}
    assert seen == {True, False}, "flicker"
    shown.page.click('[data-compare="split"]')
    shown.page.focus(".handle")
    before = float(shown.page.get_attribute(".handle", "aria-valuenow") or 0)
    shown.page.keyboard.press("ArrowRight")
    assert float(shown.page.get_attribute(".handle", "aria-valuenow") or 0) > before
    shown.page.click('[data-view="photo 2.png"]')
    assert "held out · 21.50 dB" in shown.page.inner_text(".compare .note")
    shown.page.click('[data-compare="render"]')
    assert not shown.faults


def wait(tab: Tab, times: int, milliseconds: int) -> Iterator[int]:
    """Lets time pass between looks."""
    for index in range(times):
        tab.page.wait_for_timeout(milliseconds)
        yield index


def test_dragging_leaves_the_photo_and_turns(shown: Tab) -> None:
    shown.snap("photo 0.png")
    assert shown.run("return recon.viewer.state.snapped.name") == "photo 0.png"
    before = shown.run("return recon.viewer.camera.position.toArray()")
    shown.page.mouse.move(250, 200)
    shown.page.mouse.down()
    shown.page.mouse.move(330, 220, steps=4)
    shown.page.mouse.up()
    after = shown.run("return recon.viewer.camera.position.toArray()")
    assert shown.run("return recon.viewer.state.snapped") is None
    assert shown.page.is_hidden(".compare")
    assert np.linalg.norm(np.subtract(before, after)) > 0.1
    target = shown.run("return recon.viewer.state.target.toArray()")
    assert np.linalg.norm(np.subtract(before, target)) == pytest.approx(
        float(np.linalg.norm(np.subtract(after, target))), rel=1e-3
    ), "an orbit keeps its distance"


@pytest.mark.parametrize("mode", ["fly", "walk"])
def test_keys_move(mode: str, shown: Tab) -> None:
    shown.snap("photo 0.png")
    shown.page.locator("select[aria-label=Move]").select_option(mode)
    forward = np.array(shown.run("return recon.viewer.state.target.sub(recon.viewer.state.eye).normalize().toArray()"))
    up = np.array(shown.run("return recon.viewer.camera.up.toArray()"))
    before = np.array(shown.run("return recon.viewer.state.eye.toArray()"))
    shown.page.focus("canvas")
    shown.page.keyboard.down("w")
    shown.page.wait_for_function(
        "(before) => Math.hypot(...window.recon.viewer.state.eye.toArray().map((x, i) => x - before[i])) > 0.2",
        arg=before.tolist(),
    )
    shown.page.keyboard.up("w")
    moved = np.array(shown.run("return recon.viewer.state.eye.toArray()")) - before
    distance = float(np.linalg.norm(moved))
    assert distance > 0.05
    if mode == "walk":
        assert abs(moved @ up) < 1e-6 * max(1, distance), "on the level"
    else:
        assert moved @ forward == pytest.approx(distance, rel=1e-6)
    shown.page.locator("select[aria-label=Move]").select_option("orbit")


def test_keys_choose(shown: Tab) -> None:
    shown.run("await recon.tree.show(['gaussian'])")
    shown.snap("photo 0.png")
    shown.page.focus("canvas")
    shown.page.keyboard.press("]")
    assert shown.run("return recon.viewer.state.snapped.name") == "photo 1.png"
    shown.page.keyboard.press("Space")
    assert pressed(shown) == "photo"
    shown.page.click('[data-compare="render"]')
    shown.page.focus("canvas")
    shown.page.keyboard.press("2")
    assert shown.run("return recon.viewer.look.mode") == "depth"
    shown.page.keyboard.press("1")
    shown.page.keyboard.press("?")
    assert shown.page.is_visible("dialog")
    shown.page.keyboard.press("Escape")
    assert shown.page.is_hidden("dialog")
    shown.page.focus("canvas")
    shown.page.keyboard.press("Escape")
    assert shown.run("return recon.viewer.state.snapped") is None
    shown.page.keyboard.press("h")
    assert shown.page.is_hidden(".panel")
    shown.page.keyboard.press("h")


@pytest.mark.parametrize("node", ["gaussian", "exponential", "surfel", "triangle", "convex"])
def test_ways_of_looking(node: str, shown: Tab) -> None:
    shown.run("await recon.tree.show([argument])", node)
    shown.snap("photo 1.png")
    pictures = {}
    for mode in ("color", "depth", "normal", "opacity", "id"):
        shown.run("recon.look.setMode(argument)", mode)
        pictures[mode] = shown.picture(WIDTH, HEIGHT)
    names = list(pictures)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert np.abs(pictures[one] - pictures[other]).mean() > 0.01, (one, other)
    shown.run("recon.look.setMode('color')")
    changes: list[dict[str, Any]] = [
        {"shDegree": 0}, {"scale": 0.3}, {"minOpacity": 0.7}, {"crop": [-9, -9, -9, 0, 9, 9]}
    ]  # fmt: skip
    for change in changes:
        before = shown.run("return recon.viewer.look")
        shown.run("recon.viewer.setLook(argument)", change)
        assert np.abs(shown.picture(WIDTH, HEIGHT) - pictures["color"]).mean() > 0.002, change
        shown.run("recon.viewer.setLook(argument)", {name: before[name] for name in change})
    assert np.abs(shown.picture(WIDTH, HEIGHT) - pictures["color"]).mean() < 1e-3, "back again"
    assert not shown.faults


def test_cameras_are_drawn_and_clicked(shown: Tab) -> None:
    shown.run("await recon.tree.show([])")
    shown.run("recon.viewer.place(recon.viewer.state.eye.set(0, 3, 12), recon.viewer.state.target.set(0, 0, 0), 50)")
    before = shown.picture(450, 300)
    shown.page.check("#show-cameras")
    shown.page.wait_for_timeout(300)
    assert np.abs(shown.picture(450, 300) - before).mean() > 0.001
    shown.keep("cameras")
    spot = shown.run(
        """const view = recon.data.views[1];
        const p = recon.viewer.camera.position.clone().fromArray(argument).project(recon.viewer.camera);
        const box = recon.viewer.canvas.getBoundingClientRect();
        return [box.left + (p.x + 1) / 2 * box.width, box.top + (1 - p.y) / 2 * box.height];""",
        _plane_center(shown),
    )
    shown.page.mouse.click(*spot)
    shown.page.wait_for_function("() => window.recon.viewer.state.snapped?.name === 'photo 1.png'")
    shown.page.uncheck("#show-cameras")


def _plane_center(tab: Tab) -> list[float]:
    """A point on the picture of the second camera."""
    view = tab.run("return recon.data.views[1]")
    pose = np.array(view["worldToCamera"]).reshape(4, 4)
    K = np.array(view["K"]).reshape(3, 3)
    size = tab.run("return recon.viewer.extent") * 0.12
    middle = np.linalg.inv(K) @ [view["width"] / 2, view["height"] / 2, 1] * size
    return list(map(float, (np.linalg.inv(pose) @ [*middle, 1])[:3]))


def test_links_lead_back(shown: Tab, browser: Any, served: Served) -> None:
    shown.run("await recon.tree.show(['triangle'])")
    shown.snap("photo 1.png")
    shown.page.click('[data-compare="split"]')
    shown.run("recon.look.setMode('normal')")
    shown.page.wait_for_function("() => location.hash.includes('mode=normal') && location.hash.includes('split')")
    link = shown.page.url
    other = Tab(browser.new_page(viewport={"width": 700, "height": 500}))
    other.open(link)
    assert other.run("return recon.tree.shown") == ["triangle"]
    assert other.run("return recon.viewer.state.snapped.name") == "photo 1.png"
    assert other.run("return recon.viewer.look.mode") == "normal"
    assert pressed(other) == "split"
    other.page.close()
    shown.run("recon.look.setMode('color')")
    shown.page.click('[data-compare="render"]')


def test_pictures_are_saved(shown: Tab) -> None:
    shown.snap("photo 1.png")
    with shown.page.expect_download() as saved:
        shown.page.get_by_role("button", name="Save picture").click()
    from PIL import Image

    assert saved.value.suggested_filename == "photo 1-render.png"
    with Image.open(saved.value.path()) as picture:
        assert picture.size == (WIDTH, HEIGHT)


def test_a_phone(browser: Any, served: Served) -> None:
    page = browser.new_page(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True, device_scale_factor=1
    )
    tab = Tab(page)
    tab.open(served.server.address)
    tab.settle()
    assert page.is_hidden(".panel"), "the picture comes first"
    tab.keep("phone")
    page.get_by_label("Show or hide the panel").tap()
    assert page.is_visible(".panel")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    canvas = page.locator("canvas").bounding_box()
    assert canvas is not None and canvas["height"] >= 200
    tab.keep("phone-panel")
    page.get_by_label("Show or hide the panel").tap()
    before = tab.run("return recon.viewer.state.eye.toArray()")
    touch = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", 100), ("touchMove", 140), ("touchMove", 200), ("touchEnd", None)):
        points = [] if x is None else [{"x": x, "y": 250}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    after = tab.run("return recon.viewer.state.eye.toArray()")
    assert np.linalg.norm(np.subtract(before, after)) > 0.1, "one finger turns"
    far = tab.run("const { eye, target } = recon.viewer.state; return eye.distanceTo(target)")
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", None)):
        points = [] if apart is None else [{"x": 180 - apart, "y": 250, "id": 0}, {"x": 180 + apart, "y": 250, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert tab.run("const { eye, target } = recon.viewer.state; return eye.distanceTo(target)") < 0.8 * far, "two pinch"
    assert not tab.faults
    page.close()


def test_controls_have_names(shown: Tab) -> None:
    nameless = shown.run("""return [...document.querySelectorAll("button, input, select, [role=slider]")]
        .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
        .map((one) => one.outerHTML)""")
    assert nameless == []


def test_a_missing_file_is_said(spoiled: ViewerServer, tab: Tab) -> None:
    next(spoiled.folder.glob("stages/20-*/gaussian.safetensors")).unlink()
    tab.open(spoiled.address + "#show=gaussian", "failed")
    assert "gaussian.safetensors" in tab.page.inner_text(".message")
    assert "recon run --force" in tab.page.inner_text(".message")
    tab.keep("missing-file")
    tab.page.goto(spoiled.address + "#show=triangle")
    tab.page.wait_for_function("() => window.recon.viewer.layers.get('triangle')?.object.visible")


def test_a_short_file_is_said(spoiled: ViewerServer, tab: Tab) -> None:
    file = next(spoiled.folder.glob("stages/20-*/triangle.safetensors"))
    file.write_bytes(file.read_bytes()[:5000])
    tab.open(spoiled.address + "#show=triangle", "failed")
    assert "cut short" in tab.page.inner_text(".message")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is not JSON"),
        ('{"asset": {"version": "2.0"}}', "no RECON_scene"),
        ('{"extensions": {"RECON_scene": {"version": 2}}}', "version 2"),
    ],
)
def test_a_broken_scene_is_said(text: str, words: str, spoiled: ViewerServer, tab: Tab) -> None:
    (spoiled.folder / "scene.gltf").write_text(text)
    tab.open(spoiled.address, "failed")
    assert words in tab.page.inner_text(".message")
    assert "recon run" in tab.page.inner_text(".message")


def test_a_node_whose_accessor_leads_nowhere_is_said(spoiled: ViewerServer, tab: Tab) -> None:
    document = json.loads((spoiled.folder / "scene.gltf").read_text())
    del document["accessors"][3]["bufferView"]
    (spoiled.folder / "scene.gltf").write_text(json.dumps(document))
    tab.open(spoiled.address, "failed")
    assert "/accessors/3" in tab.page.inner_text(".message")


def test_a_scene_that_is_too_large_is_said(served: Served, tab: Tab) -> None:
    """The browser has no memory for what comes, or pretends not to."""
    tab.page.add_init_script(
        """const real = Uint8Array;
        globalThis.Uint8Array = new Proxy(real, { construct(kind, given, target) {
            if (given[0] > 10000) throw new RangeError("Array buffer allocation failed");
            return Reflect.construct(kind, given, target === globalThis.Uint8Array ? kind : target);
        } });"""
    )
    tab.open(served.server.address + "#show=gaussian", "failed")
    message = tab.page.inner_text(".message")
    assert "gaussian" in message and "too large for this browser" in message and "recon export" in message


def test_a_lost_picture_is_said_and_comes_back(served: Served, tab: Tab) -> None:
    tab.open(served.server.address + "#show=mesh")
    before = tab.picture(100, 75)
    tab.page.wait_for_function("() => location.hash.includes('mesh')")
    tab.run("recon.lose = recon.viewer.canvas.getContext('webgl2').getExtension('WEBGL_lose_context')")
    tab.run("recon.lose.loseContext()")
    tab.page.locator(".message", has_text="graphics card").wait_for()
    tab.run("recon.lose.restoreContext()")
    again = "() => window.recon?.lose === undefined && document.documentElement.dataset.state === 'ready'"
    tab.page.wait_for_function(again)
    tab.settle()
    assert np.abs(tab.picture(100, 75) - before).mean() < 1e-3


def test_no_webgl_is_said(spoiled: ViewerServer, tab: Tab) -> None:
    tab.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    tab.open(spoiled.address, "failed")
    assert "WebGL2" in tab.page.inner_text(".message")
    assert "hardware acceleration" in tab.page.inner_text(".message")
