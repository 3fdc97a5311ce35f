"""Each control of the page by itself, used as people use it. Photos, tree, ways of looking: test_viewer_page.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import PATIENCE_MS, Tab
from family_room import HEIGHT, WIDTH

pytestmark = pytest.mark.browser

Control = Callable[[Any], None]


def slide(label: str, value: float) -> Control:
    def act(page: Any) -> None:
        page.locator(f'input[aria-label="{label}"]').fill(str(value))

    return act


def choose(label: str, value: str) -> Control:
    def act(page: Any) -> None:
        page.locator(f'select[aria-label="{label}"]').select_option(value)

    return act


def color(value: str) -> Control:
    def act(page: Any) -> None:
        page.get_by_label("Background").fill(value)

    return act


@pytest.mark.parametrize(
    ("change", "back"),
    [
        pytest.param(choose("Show", "normal"), choose("Show", "color"), id="show"),
        pytest.param(slide("SH degree", 0), slide("SH degree", 3), id="degree"),
        pytest.param(slide("Size", 0.3), slide("Size", 1), id="size"),
        pytest.param(slide("Min opacity", 0.7), slide("Min opacity", 0), id="opacity"),
        pytest.param(color("#ff00ff"), color("#33801a"), id="background"),
        pytest.param(
            lambda page: page.get_by_label("Antialias").check(), lambda page: page.get_by_label("Antialias").uncheck(),
            id="antialias",
        ),
    ],
)  # fmt: skip
def test_looks(change: Control, back: Control, shown: Tab) -> None:
    shown.run("await recon.tree.show(['gaussian'])")
    shown.snap("photo 1.png")
    before = shown.picture(WIDTH, HEIGHT)
    change(shown.page)
    assert np.abs(shown.picture(WIDTH, HEIGHT) - before).mean() > 5e-4  # antialiasing changes edges alone
    back(shown.page)
    assert np.abs(shown.picture(WIDTH, HEIGHT) - before).mean() < 1e-4


def stand(tab: Tab) -> dict[str, np.ndarray]:
    """Stand in front of the mesh; eye and target."""
    tab.run("await recon.tree.show(['mesh'])")
    tab.run("recon.viewer.place(recon.viewer.state.eye.set(0, 0, 8), recon.viewer.state.target.set(0, 0, 0), 40)")
    return place(tab)


def place(tab: Tab) -> dict[str, np.ndarray]:
    state = tab.run(
        "const { eye, target } = recon.viewer.state; return { eye: eye.toArray(), target: target.toArray() }"
    )
    return {name: np.array(value) for name, value in state.items()}


def drag(tab: Tab, button: str = "left") -> None:
    tab.page.mouse.move(250, 200)
    tab.page.mouse.down(button=button)
    tab.page.mouse.move(310, 230, steps=3)
    tab.page.mouse.up(button=button)


def test_the_wheel_comes_nearer_and_the_right_button_moves_sideways(shown: Tab) -> None:
    before = stand(shown)
    shown.page.mouse.move(250, 200)
    shown.page.mouse.wheel(0, -300)
    shown.page.wait_for_function("() => window.recon.viewer.state.eye.length() < 7.9")
    before = stand(shown)
    drag(shown, "right")
    after = place(shown)
    np.testing.assert_allclose(after["target"] - before["target"], after["eye"] - before["eye"], atol=1e-6)
    assert np.linalg.norm(after["target"] - before["target"]) > 0.1


@pytest.mark.parametrize("mode", ["fly", "walk"])
def test_dragging_looks_around(mode: str, shown: Tab) -> None:
    choose("Move", mode)(shown.page)
    before = stand(shown)
    drag(shown)
    after = place(shown)
    np.testing.assert_allclose(after["eye"], before["eye"], atol=1e-6)
    assert np.linalg.norm(after["target"] - before["target"]) > 0.1
    choose("Move", "orbit")(shown.page)


def test_letters_go_up_and_down_and_show_cameras(shown: Tab) -> None:
    before = stand(shown)
    up = np.array(shown.run("return recon.viewer.camera.up.toArray()"))
    shown.page.focus("canvas")
    shown.page.keyboard.press("e")
    higher = place(shown)
    assert (higher["eye"] - before["eye"]) @ up > 0
    shown.page.keyboard.press("q")
    assert (place(shown)["eye"] - higher["eye"]) @ up < 0
    shown.page.keyboard.press("c")
    assert shown.page.is_checked("#show-cameras")
    shown.page.keyboard.press("c")
    assert not shown.page.is_checked("#show-cameras")


def test_the_photo_s_bar_steps_and_leaves(shown: Tab) -> None:
    shown.snap("photo 0.png")
    shown.page.get_by_label("Next photo").click()
    assert shown.run("return recon.viewer.state.snapped.name") == "photo 1.png"
    shown.page.get_by_label("Previous photo").click()
    shown.page.get_by_label("Previous photo").click()
    assert shown.run("return recon.viewer.state.snapped.name") == "photo 2.png"
    shown.page.get_by_label("Leave the photo's camera").click()
    assert shown.run("return recon.viewer.state.snapped") is None


def test_the_split_is_dragged(shown: Tab) -> None:
    shown.snap("photo 0.png")
    shown.page.click('[data-compare="split"]')
    handle = shown.page.locator(".handle").bounding_box()
    assert handle is not None
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + 20
    before = float(shown.page.get_attribute(".handle", "aria-valuenow") or 0)
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x - 80, y, steps=3)
    shown.page.mouse.up()
    assert float(shown.page.get_attribute(".handle", "aria-valuenow") or 0) < before - 5
    assert shown.run("return recon.viewer.state.snapped.name") == "photo 0.png", "the camera stays"
    shown.page.click('[data-compare="render"]')


def test_the_lens_s_distortion_is_said(shown: Tab) -> None:
    shown.run("recon.data.views[0].distortion = { model: 'opencv', params: [0.1, 0, 0, 0] }")
    shown.snap("photo 0.png")
    assert "lens distortion is not drawn" in shown.page.inner_text(".compare .note")
    shown.run("recon.data.views[0].distortion = { model: 'none', params: [] }")


def test_keyframes_are_gone_to(shown: Tab) -> None:
    shown.page.get_by_text("Path", exact=True).click()
    before = stand(shown)
    shown.page.get_by_role("button", name="Add keyframe").click()
    drag(shown)
    assert np.linalg.norm(place(shown)["eye"] - before["eye"]) > 0.1
    shown.page.get_by_label("Go to keyframe 1").click()
    np.testing.assert_allclose(place(shown)["eye"], before["eye"], atol=1e-6)
    shown.page.get_by_label("Remove keyframe 1").click()
    shown.page.get_by_role("button", name="Play").click()
    assert "two keyframes" in shown.page.inner_text("[role=status] >> text=keyframes")
    shown.page.get_by_text("Path", exact=True).click()


def test_the_link_is_copied(shown: Tab) -> None:
    shown.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.page.get_by_role("button", name="Copy link").click()
    shown.page.get_by_text("Link copied").wait_for()
    copied = shown.page.evaluate("navigator.clipboard.readText()")
    # The address bar follows the camera a little later.
    shown.page.wait_for_function("(text) => location.href === text", arg=copied, timeout=PATIENCE_MS)


def test_help_opens_and_closes(shown: Tab) -> None:
    shown.page.get_by_role("button", name="Keys").click()
    assert shown.page.is_visible("dialog") and "keyframe" in shown.page.inner_text("dialog")
    shown.page.locator("dialog").get_by_role("button", name="Close").click()
    assert shown.page.is_hidden("dialog")


def test_a_key_saves_a_picture_and_complaints_are_closed(shown: Tab) -> None:
    stand(shown)
    shown.page.focus("canvas")
    with shown.page.expect_download() as saved:
        shown.page.keyboard.press("p")
    assert saved.value.suggested_filename == "view.png"
    shown.page.evaluate("() => { location.hash = '#view=nobody.jpg'; }")
    message = shown.page.locator(".message", has_text="nobody.jpg")
    message.wait_for()
    message.get_by_label("Close").click()
    assert message.count() == 0


def test_where_nothing_can_be_kept_a_file_is_offered(shown: Tab, tmp_path: Path) -> None:
    """A server without the right to write, as the page hears of it."""
    session = {"name": "room", "files": ["scene.gltf"], "live": False, "writable": False}
    shown.page.route("**/api/session", lambda route: route.fulfill(json=session))
    shown.page.reload()
    shown.page.wait_for_selector("html[data-state=ready]", state="attached")
    shown.page.get_by_text("Crop", exact=True).click()
    with shown.page.expect_download() as saved:
        shown.page.get_by_role("button", name="Save as file").first.click()
    assert saved.value.suggested_filename == "viewer.json"
    shown.page.unroute("**/api/session")
