"""The viewer's page in a headless browser with a software WebGL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.bench.chromium import IN_TIME, capture

SIZE = {"width": 400, "height": 300}
PICTURES = Path(__file__).resolve().parents[2] / "build" / "viewer-pictures"
"""Where tests leave what they saw."""
PATIENCE_MS = 60_000


class Tab:
    """One page and what it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str, state: str = "ready") -> None:
        """Go there and wait until the scene is shown (or has `failed`)."""
        self.page.goto(address)
        self.page.wait_for_selector(f"html[data-state={state}]", state="attached", timeout=PATIENCE_MS)

    def run(self, script: str, argument: object = None) -> Any:
        """Value of a JavaScript function of `argument`, in which `recon` is the page's App."""
        return self.page.evaluate(f"async (argument) => {{ const recon = window.recon; {script} }}", argument)

    def settle(self) -> None:
        """Wait until the picture stands."""
        self.run(f"{IN_TIME} await inTime(recon.viewer.settled(), argument)", PATIENCE_MS)

    def snap(self, name: str) -> None:
        """Stand at the camera of a photo."""
        self.run("recon.viewer.snap(recon.data.views.find((view) => view.name === argument))", name)

    def picture(self, width: int, height: int) -> np.ndarray:
        """[height, width, 3] float in [0, 1]: what the page draws at that size."""
        return capture(self.page, width, height, PATIENCE_MS)

    def keep(self, name: str) -> None:
        """Leave a screenshot of the whole page for people."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")


def keep_difference(name: str, shown: np.ndarray, wanted: np.ndarray) -> None:
    """Leave page, core and four times their difference side by side."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    row = np.concatenate([shown, wanted, 4 * np.abs(shown - wanted)], axis=1)
    Image.fromarray((255 * row.clip(0, 1) + 0.5).astype(np.uint8)).save(PICTURES / f"{name}.png")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, of values in [0, 1]."""
    return float(-10 * np.log10(max(((a - b) ** 2).mean(), 1e-12)))
