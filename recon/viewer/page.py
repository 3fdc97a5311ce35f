"""The built page: a few files that viewer/ is compiled to."""

from __future__ import annotations

from pathlib import Path

from recon.errors import ReconError

FOLDER = Path(__file__).parent / "page"
"""Holds index.html, one script and one style sheet, and compressed copies; made by `npm run build` in viewer/."""
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""HTTP's names of compressions by what the copies' names end in, smallest first."""


def page_files() -> dict[str, bytes]:
    """Contents of the page by file name. Raises ReconError when it has not been built."""
    index = FOLDER / "index.html"
    if not index.is_file():
        raise ReconError(
            "the viewer's page has not been built", found=f"no {index}",
            fix="run `make viewer` in a checkout (it needs Node 20 and npm); wheels hold it already",
        )  # fmt: skip
    files = (file for file in sorted(FOLDER.iterdir()) if file.is_file() and file.suffix not in ENCODINGS.values())
    return {file.name: file.read_bytes() for file in files}


def compressed_files() -> dict[tuple[str, str], bytes]:
    """Compressed copies by the page's file and encoding."""
    copies = {
        (name, encoding): FOLDER / f"{name}{suffix}" for name in page_files() for encoding, suffix in ENCODINGS.items()
    }
    return {key: copy.read_bytes() for key, copy in copies.items() if copy.is_file()}
