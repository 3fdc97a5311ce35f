"""A headless Chromium with a software WebGL, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ARGUMENTS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def browser_path() -> str | None:
    """A Chromium on this machine; RECON_CHROMIUM names another one."""
    named = os.environ.get("RECON_CHROMIUM")
    return named or next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)


@contextmanager
def launch(path: str) -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
