"""A real short training that is watched, paused and stopped from pages."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import browser as chromium
import numpy as np
import photo_folder
import pytest
import torch
from browser import PATIENCE_MS, Tab
from family_room import Served
from random_splats import random_family

from recon import events
from recon.scene.families import FAMILIES
from recon.viewer import frames
from recon.viewer.live import LiveRun
from recon.viewer.server import ViewerServer
from recon.viewer.typescript import generate

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]


def test_the_messages_of_the_page_are_generated() -> None:
    text = (ROOT / "viewer" / "src" / "net" / "messages.ts").read_text()
    assert text == generate(), "run python -m recon.viewer.typescript"


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_hold_what_a_scene_would(family: str) -> None:
    from safetensors.numpy import load

    splats = random_family(family, 50, sh_degree=3)
    arrays = load(frames.pack_frame(splats, 7, 120))
    codec = FAMILIES[family]
    whole = codec.to_arrays(splats)
    np.testing.assert_array_equal(arrays["POSITION"], whole["POSITION"])
    first, last = codec.attribute("SH/0"), codec.attribute("SH/3")
    np.testing.assert_allclose(arrays[first], whole["SH"][:, 0], rtol=1e-3, atol=1e-3)
    assert last in arrays and codec.attribute("SH/4") not in arrays


def test_large_scenes_are_thinned_out_without_touching_the_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import load

    monkeypatch.setattr(frames, "MAX_SPLATS", 100)
    splats = random_family("gaussian", 1000)
    before = torch.get_rng_state()
    arrays = load(frames.pack_frame(splats, 1, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert len(arrays["POSITION"]) == 100
    assert arrays["KHR_gaussian_splatting:OPACITY"].mean() > torch.sigmoid(splats["opacity_logits"]).mean()


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread: while a browser is open, its loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(asyncio.wait_for(work, 60))).result()


def moved(iteration: int) -> events.SplatsMoved:
    return events.SplatsMoved("splats", iteration, lambda: random_family("gaussian", 20, seed=iteration))


def test_frames_wait_for_the_page_and_the_latest_wins(
    live: tuple[LiveRun, ViewerServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.viewer.live._SHARE", 1e9)
    run, server = live
    run._change(frame_seconds=0.0)

    async def watch() -> list[int]:
        seen = []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.address}api/live") as socket:
            assert (await socket.receive_json())["type"] == "run_state"
            for iteration in range(5):
                await asyncio.to_thread(run, moved(iteration))
            for _ in range(2):
                data = await socket.receive_bytes(timeout=5)
                length = int.from_bytes(data[:8], "little")
                seen.append(int(json.loads(data[8 : 8 + length])["__metadata__"]["frame"]))
                with pytest.raises(asyncio.TimeoutError):
                    await socket.receive(timeout=0.3)
                await socket.send_json({"type": "ack", "frame": seen[-1]})
        return seen

    assert run_apart(watch()) == [1, 5]


def test_nothing_is_copied_when_nobody_watches(live: tuple[LiveRun, ViewerServer]) -> None:
    def snapshot() -> Any:
        raise AssertionError("nobody asked for this")

    live[0](events.SplatsMoved("splats", 1, snapshot))


def test_senseless_messages_are_refused_and_the_run_goes_on(
    live: tuple[LiveRun, ViewerServer], caplog: pytest.LogCaptureFixture
) -> None:
    run, server = live
    texts = ["", "{", "[]", "null", '{"type": "control", "action": "format"}', '{"type": "ack"}', '{"type": 5}',
             '{"type": "tune", "end_at": 0, "frame_seconds": 1}', '{"type": "tune", "end_at": 5, "frame_seconds": 1e9}',
             '{"type": "tune", "end_at": "5", "frame_seconds": 1}']  # fmt: skip

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{server.address}api/live") as socket:
                for text in texts:
                    await socket.send_str(text)
                await socket.send_bytes(b"\0\1")
                await socket.send_json({"type": "control", "action": "pause"})
                states = [await socket.receive_json(timeout=5) for _ in range(2)]
                assert [one["state"] for one in states] == ["running", "paused"]
            async with session.ws_connect(f"{server.address}api/live") as socket:
                await socket.send_str("x" * 100_000)
                await socket.receive_json()
                assert (await socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            for origin, status in (("http://evil.example", 403), (server.address.rstrip("/"), 101)):
                try:
                    async with session.ws_connect(f"{server.address}api/live", origin=origin):
                        assert status == 101
                except aiohttp.WSServerHandshakeError as error:
                    assert error.status == status

    with caplog.at_level(logging.WARNING, "recon.viewer"):
        run_apart(talk())
    assert len([line for line in caplog.messages if "makes no sense" in line]) == len(texts)
    assert run._state.state == "paused"


def test_a_page_may_end_the_run_earlier_and_ask_for_fewer_frames(live: tuple[LiveRun, ViewerServer]) -> None:
    run, server = live

    async def talk() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.address}api/live") as socket:
            assert (await socket.receive_json())["end_at"] is None
            await socket.send_json({"type": "tune", "end_at": 200, "frame_seconds": 5})
            state = await socket.receive_json(timeout=5)
            assert (state["state"], state["end_at"], state["frame_seconds"]) == ("running", 200, 5)

    run_apart(talk())
    run(events.Progress("poses", 300, 400))
    run(events.Progress("splats", 199, 1000))
    assert not run.should_stop(lambda: False)
    run(events.Progress("splats", 200, 1000))
    assert run.should_stop(lambda: False)


def test_a_paused_run_waits_and_ctrl_c_still_ends_it(live: tuple[LiveRun, ViewerServer]) -> None:
    run, _ = live
    pressed = threading.Event()
    assert not run.should_stop(pressed.is_set)
    run._change(state="paused")
    threading.Timer(0.3, pressed.set).start()
    begin = time.monotonic()
    assert run.should_stop(pressed.is_set)
    assert time.monotonic() - begin > 0.2


def test_a_page_comes_back_to_a_server_that_was_started_again(served: Served, tab: Tab) -> None:
    run = LiveRun()
    server = ViewerServer(served.folder, port=0, live=run)
    server.start()
    try:
        tab.page.set_viewport_size({"width": 800, "height": 450})
        tab.open(server.address)
        status = tab.page.locator(".live [role=status]")
        status.get_by_text("running").wait_for(timeout=PATIENCE_MS)
        server.stop()
        status.get_by_text("connecting again").wait_for(timeout=PATIENCE_MS)
        run = LiveRun()
        server = ViewerServer(served.folder, port=server.port, live=run)
        server.start()
        status.get_by_text("running").wait_for(timeout=PATIENCE_MS)
        run(events.StageStarted("splats"))
        run(events.Progress("splats", 5, 10, loss=0.125))
        tab.page.locator(".figures").get_by_text("0.1250").wait_for(timeout=PATIENCE_MS)
        for iteration in range(3):
            run(moved(iteration))
        tab.page.wait_for_selector("html[data-frame]", state="attached", timeout=PATIENCE_MS)
        run(events.StageFinished("splats", 1.0))
        tab.page.wait_for_function("() => !window.recon.viewer.layers.has('splats in training')")
        tab.page.get_by_role("button", name="Stop").click()
        status.get_by_text("stopping").wait_for(timeout=PATIENCE_MS)
        assert run.should_stop(lambda: False)
        run.end()
        status.get_by_text("done").wait_for(timeout=PATIENCE_MS)
    finally:
        server.stop()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_pages_come_to_rest_between_frames_and_hidden_ones_get_none(
    served: Served, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pages on one software WebGL, and a run that has a new frame at any moment."""
    monkeypatch.setattr("recon.viewer.live._SHARE", 1e9)
    run, over = LiveRun(), threading.Event()
    run._change(frame_seconds=0.0)
    server = ViewerServer(served.folder, port=0, live=run)
    server.start()

    def train() -> None:
        iteration = 0
        while not over.wait(0.02):
            iteration += 1
            run(events.SplatsMoved("splats", iteration, lambda: random_family("gaussian", 3000)))

    thread = threading.Thread(target=train)
    thread.start()
    tabs = [Tab(browser.new_page(viewport=chromium.SIZE)) for _ in range(2)]
    try:
        for tab in tabs:
            tab.open(server.address)
            tab.page.wait_for_selector("html[data-frame]", state="attached", timeout=PATIENCE_MS)
        for tab in tabs:
            tab.settle()
            shown = int(tab.page.get_attribute("html", "data-frame") or 0)
            newer = f"() => Number(document.documentElement.dataset.frame) > {shown}"
            tab.page.wait_for_function(newer, timeout=PATIENCE_MS)
        hide = "Object.defineProperty(document, 'hidden', { value: argument, configurable: true });"
        tell = "document.dispatchEvent(new Event('visibilitychange'));"
        for tab in tabs:
            tab.run(hide + tell, True)
        eventually(lambda: not run._watched)
        tabs[0].run(hide + tell, False)
        eventually(lambda: run._watched)
        assert not tabs[0].faults
    finally:
        over.set()
        thread.join()
        for tab in tabs:
            tab.page.close()
        server.stop()


def start_watched(scene: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """`recon run --view` at work, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recon.cli.main", "run", str(scene), "--view", *options],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Shells start what they put in the background deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    # Nobody may be left waiting for a full pipe.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, line.split()[-1]


@pytest.fixture
def endless(tmp_path: Path, built_page: None) -> Path:
    """scene.yaml of a run that does not end by itself."""
    photo_folder.write_capture(tmp_path / "capture")
    return photo_folder.write_config(tmp_path / "scene.yaml", iterations=100_000)


@pytest.fixture
def training(endless: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, address = start_watched(endless, "--port", "0")
    yield process, address
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_training_is_watched_paused_and_stopped(training: tuple[subprocess.Popen[str], str], browser: Any) -> None:
    process, address = training
    tabs = [Tab(browser.new_page(viewport={"width": 800, "height": 450})) for _ in range(2)]
    for tab in tabs:
        tab.open(address)
        tab.page.wait_for_selector("html[data-frame]", state="attached", timeout=PATIENCE_MS)
    first, second = tabs
    for name in ("loss", "PSNR", "N", "it/s", "left"):
        assert name in first.page.inner_text(".figures")
    shown = int(first.page.get_attribute("html", "data-frame") or 0)
    first.page.wait_for_function(f"() => Number(document.documentElement.dataset.frame) > {shown}", timeout=PATIENCE_MS)
    first.page.get_by_role("button", name="Pause").click()
    second.page.get_by_role("button", name="Resume").wait_for(timeout=PATIENCE_MS)
    second.page.wait_for_timeout(300)
    iteration = second.page.inner_text(".figures dd >> nth=0")
    second.page.wait_for_timeout(600)
    assert second.page.inner_text(".figures dd >> nth=0") == iteration, "it stands still"
    first.settle()
    first.keep("live")
    second.page.get_by_role("button", name="Resume").click()
    first.page.wait_for_function(
        "(before) => document.querySelector('.figures dd').textContent !== before", arg=iteration, timeout=PATIENCE_MS
    )
    first.page.locator("input[aria-label='Refresh every']").fill("7.5")
    second.page.locator("output", has_text="7.5 s").wait_for(timeout=PATIENCE_MS)
    # An iteration that has been passed: it ends at once, and both pages know why.
    first.page.get_by_label("End after iteration").fill("3")
    first.page.get_by_label("End after iteration").press("Enter")
    second.page.wait_for_function("() => document.querySelector('.live input[type=number]').value === '3'")
    for tab in tabs:
        tab.page.locator(".live [role=status]").get_by_text("done").wait_for(timeout=PATIENCE_MS)
        tab.page.wait_for_function("() => window.recon.tree.shown.join() === 'splats'", timeout=PATIENCE_MS)
        assert not tab.faults
        tab.page.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130, "it was interrupted"
    scene = json.loads((Path(str(process.args[4])).parent / "out" / "scene.gltf").read_text())  # type: ignore[index]
    assert any(node["name"] == "splats" for node in scene["nodes"]), "what there was is published"


@pytest.mark.slow
def test_a_page_comes_back_to_a_run_that_was_killed_and_goes_on(
    endless: Path, training: tuple[subprocess.Popen[str], str], tab: Tab
) -> None:
    process, address = training
    tab.page.set_viewport_size({"width": 800, "height": 450})
    tab.open(address)
    tab.page.wait_for_selector("html[data-frame]", state="attached", timeout=PATIENCE_MS)
    process.kill()
    process.wait()
    tab.page.locator(".live [role=status]").get_by_text("connecting again").wait_for(timeout=PATIENCE_MS)
    tab.run("delete document.documentElement.dataset.frame")
    port = address.rstrip("/").rsplit(":", 1)[1]
    again, same = start_watched(endless, "--port", port, "--resume")
    try:
        assert same == address
        tab.page.wait_for_selector("html[data-frame]", state="attached", timeout=PATIENCE_MS)
        assert "splats: running" in tab.page.inner_text(".live [role=status]")
    finally:
        again.kill()
        again.wait()


def test_ctrl_c_ends_a_watched_training(training: tuple[subprocess.Popen[str], str]) -> None:
    process, address = training

    async def begun() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}api/live") as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == "progress":
                    return

    run_apart(begun())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130
