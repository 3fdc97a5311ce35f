"""A scene and the viewer in one HTML file, which opens from disk and can be sent to somebody."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from recon.io.formats.format import Format
from recon.scene import Photo, Scene, View
from recon.scene.atomic import atomic_path
from recon.scene.store import SceneStore
from recon.viewer.page import page_files

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:; connect-src data: blob:; "
    "img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_JPEG_QUALITY = 88
_SHOWN = ("background", "antialias", "summary")


def write_single_page(scene: Scene, path: Path) -> None:
    """Write `scene`, its photos as JPEG included. Raises ReconError when the page has not been built."""
    page = page_files()
    script = next(content for name, content in page.items() if name.endswith(".js")).decode()
    style = next(content for name, content in page.items() if name.endswith(".css")).decode()
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary, temporary.open("w") as out:
        root = Path(folder)
        _publish(scene, root)
        title = html.escape(path.stem)
        out.write(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">\n'
            f"<title>{title}</title>\n<style>{style}</style></head>\n<body>\n"
        )
        for file in _files(root):
            name = html.escape(file.relative_to(root).as_posix())
            out.write(f'<script type="text/plain" data-file="{name}">')
            out.write(base64.b64encode(file.read_bytes()).decode())
            out.write("</script>\n")
        # An end tag inside of a string would end the script.
        out.write('<script type="module">' + script.replace("</script", "<\\/script") + "</script>\n</body></html>\n")


def _publish(scene: Scene, root: Path) -> None:
    store = SceneStore(root)
    with store.lock(), store.begin("export", "export") as writer:
        images = writer.path / "images"
        images.mkdir()
        views = tuple(_with_jpeg(view, images / f"{index:04d}.jpg") for index, view in enumerate(scene.views))
        # Of what the stages noted, what the page shows; settings may hold paths that are nobody else's business.
        records = tuple(
            replace(record, info={name: record.info[name] for name in _SHOWN if name in record.info})
            for record in scene.provenance
        )
        writer.publish(replace(scene, views=views, provenance=records))


def _with_jpeg(view: View, path: Path) -> View:
    if view.photo is None or not view.photo.path.is_file():
        return replace(view, photo=None)
    from PIL import Image

    with Image.open(view.photo.path) as photo:
        photo.convert("RGB").save(path, quality=_JPEG_QUALITY)
    return replace(view, photo=Photo(path))


def _files(root: Path) -> Iterator[Path]:
    yield root / "scene.gltf"
    for file in sorted((root / "stages").rglob("*")):
        if file.is_file() and file.name != "manifest.json":
            yield file


FORMAT = Format("scene.html", "everything in one page for browsers, the viewer included", write_single_page)
"""As the other formats of `recon.io.formats`."""
