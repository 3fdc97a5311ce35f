"""A headless Chromium with a software WebGL, driven by playwright."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

ARGUMENTS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

# Playwright waits for scripts without end.
IN_TIME = """const inTime = (wanted, limit) => Promise.race([wanted, new Promise((_, fail) =>
    setTimeout(() => fail(new Error("the picture does not come to rest")), limit))]);"""
"""JavaScript: what a promise comes to, or an error after so many milliseconds."""
_CAPTURE = (
    f"async ([width, height, limit]) => {{ {IN_TIME}"
    + """
    const blob = await inTime(window.recon.viewer.capture(width, height), limit);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
}"""
)


def capture(page: Any, width: int, height: int, patience_ms: int) -> np.ndarray:
    """[height, width, 3] float64 in [0, 1]: what the viewer's page draws at that size."""
    data = base64.b64decode(page.evaluate(_CAPTURE, [width, height, patience_ms]))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64) / 255


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
