"""One published scene, one server for it and one browser for all tests of the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser as chromium
import family_room
import pytest
from family_room import Served

from recon.bench.chromium import browser_path, launch
from recon.viewer import page
from recon.viewer.live import LiveRun
from recon.viewer.server import ViewerServer


@pytest.fixture(scope="session")
def built_page() -> None:
    """Skips where the page has not been built."""
    if not (page.FOLDER / "index.html").is_file():
        pytest.skip("the viewer's page has not been built; run `make viewer`")


@pytest.fixture(scope="session")
def served(built_page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The scene of `family_room`; not to be written to."""
    folder = tmp_path_factory.mktemp("viewer") / "room"
    scene = family_room.publish(folder)
    server = ViewerServer(folder, port=0)
    server.start()
    yield Served(folder, scene, server)
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium; skips where there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed: pip install 'recon[dev]'")
    path = browser_path()
    if path is None:
        pytest.skip("no Chromium here; install it or set RECON_CHROMIUM")
    with launch(path) as running:
        yield running


@pytest.fixture
def tab(browser: Any) -> Iterator[chromium.Tab]:
    """An empty page of 400x300 px."""
    page = browser.new_page(viewport=chromium.SIZE)
    yield chromium.Tab(page)
    page.close()


@pytest.fixture(scope="module")
def shown(browser: Any, served: Served) -> Iterator[chromium.Tab]:
    """A page of 900x600 px that shows the scene, shared by the tests of a module."""
    page = browser.new_page(viewport={"width": 900, "height": 600})
    tab = chromium.Tab(page)
    tab.open(served.server.address)
    yield tab
    page.close()


@pytest.fixture
def live(tmp_path: Path, built_page: None) -> Iterator[tuple[LiveRun, ViewerServer]]:
    """A run that the test moves along, and its server."""
    run = LiveRun()
    server = ViewerServer(tmp_path, port=0, live=run)
    server.start()
    yield run, server
    server.stop()
