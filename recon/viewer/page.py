"""The built page: a few files that viewer/ is compiled to."""

from __future__ import annotations

from pathlib import Path

from recon.errors import ReconError

FOLDER = Path(__file__).parent / "page"
"""Holds index.html, one script and one style sheet; made by `npm run build` in viewer/."""


def page_files() -> dict[str, bytes]:
    """Contents of the page by file name. Raises ReconError when it has not been built."""
    index = FOLDER / "index.html"
    if not index.is_file():
        raise ReconError(
            "the viewer's page has not been built", found=f"no {index}",
            fix="run `make viewer` in a checkout (it needs Node 20 and npm); wheels hold it already",
        )  # fmt: skip
    return {file.name: file.read_bytes() for file in sorted(FOLDER.iterdir()) if file.is_file()}
