"""The output folder: one mutable document, immutable stage folders, atomic publication.

A stage writes into a temporary folder, which is renamed into place when it is complete; then the new `scene.gltf`
replaces the old one. A kill at any moment leaves the last published scene whole.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from recon.errors import ReconError
from recon.scene.atomic import sync, write_json_atomic
from recon.scene.document import parse
from recon.scene.gltf import Placement, decode, encode, place_content
from recon.scene.lock import folder_lock
from recon.scene.nodes import Node, Photo
from recon.scene.scene import Scene, StageRecord

DOCUMENT = "scene.gltf"
STAGES = "stages"
MANIFEST = "manifest.json"
BUFFER_LIMIT = 1_000_000_000
"""Bytes; browsers cannot read files beyond 2 GB."""
_ORDER = {"poses": 10, "splats": 20, "mesh": 30}
_TEMPORARY = ".tmp-"


class SceneStore:
    """Reads and publishes the scene of one output folder."""

    def __init__(self, root: Path | str, buffer_limit: int = BUFFER_LIMIT) -> None:
        self.root = Path(root)
        self.buffer_limit = buffer_limit
        # Data that lies in published folders already, by the content's identity. The content is kept, so that the
        # identity cannot pass to another object.
        self._placed: dict[int, tuple[object, Placement]] = {}

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder for writing; ReconError when another process does."""
        return folder_lock(self.root)

    def exists(self) -> bool:
        """Whether a scene was ever published here."""
        return (self.root / DOCUMENT).is_file()

    def load(self) -> Scene:
        """The published scene. ReconError, naming file and place, when it is absent or damaged."""
        path = self.root / DOCUMENT
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ReconError(
                f"{self.root}: no scene here", found=f"no {DOCUMENT}", fix="run `recon run` first"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ReconError(f"{path}: cannot be read", found=error, fix="check the file and its rights") from None
        scene, placements = decode(parse(text, path), self.root)
        self._placed |= {id(node.content): (node.content, placements[node.id]) for node in scene.nodes if node.content}
        return scene

    def find_stage(self, stage: str, key: str) -> StageRecord | None:
        """The record of `stage` in the published scene, if it was made with `key` and its folder is there."""
        if not self.exists():
            return None
        for record in self.load().provenance:
            if (
                record.stage == stage
                and record.key == key
                and (self.root / STAGES / record.folder / MANIFEST).is_file()
            ):
                return record
        return None

    def begin(self, stage: str, key: str) -> StageWriter:
        """Start a stage; hold the lock until it is published."""
        return StageWriter(self, stage, key)

    def prune(self) -> None:
        """Remove what killed writers left. Needs the lock; published folders stay."""
        for pattern in (f"{STAGES}/{_TEMPORARY}*", f"{_TEMPORARY}*"):
            for path in self.root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class StageWriter:
    """A stage folder in the making. Leaving the `with` block without `publish` removes it."""

    def __init__(self, store: SceneStore, stage: str, key: str) -> None:
        self.store, self.stage, self.key = store, stage, key
        self.path = store.root / STAGES / f"{_TEMPORARY}{uuid.uuid4().hex}"
        """Folder to write files into."""
        self.path.mkdir(parents=True)
        self.folder = f"{_ORDER.get(stage, 90)}-{stage}-{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:8]}"
        """Name below `stages/` that the folder will have."""

    def __enter__(self) -> StageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def publish(self, scene: Scene, info: Mapping[str, Any] | None = None) -> Scene:
        """Make `scene` the folder's scene, with this stage's files.

        Data that the store has loaded or published before is referred to where it lies. `info` goes to the manifest
        and to the scene's provenance. Returns the scene as published, photos pointing into the published folder.
        """
        info = dict(info or {})
        store, root = self.store, self.store.root
        uri = f"{STAGES}/{self.folder}"
        fresh: dict[int, tuple[object, Placement]] = {}

        def placed(node: Node) -> Placement:
            known = store._placed.get(id(node.content)) or fresh.get(id(node.content))
            if known is None:
                assert node.content is not None
                name = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "_" for c in node.id)
                if (self.path / f"{name}.safetensors").exists():
                    name = f"{name}-{uuid.uuid4().hex[:6]}"
                known = (node.content, place_content(node.content, self.path, uri, name, store.buffer_limit))
                fresh[id(node.content)] = known
            return known[1]

        final = root / STAGES / self.folder
        views = tuple(replace(view, photo=self._moved(view.photo, final)) for view in scene.views)
        record = StageRecord(self.stage, self.folder, self.key, info)
        kept = tuple(old for old in scene.provenance if old.stage != self.stage)
        published = replace(scene, views=views, provenance=(*kept, record))
        document = encode(published, root, placed)
        self._write_manifest(info)
        self.path.rename(final)
        try:
            sync(final.parent)
            write_json_atomic(root / DOCUMENT, document)
        except BaseException:
            self._withdraw(final)
            raise
        store._placed |= fresh
        return published

    def _withdraw(self, final: Path) -> None:
        """Remove a folder that no document refers to: on a full disk it would be in the way of the next attempt."""
        path = self.store.root / DOCUMENT
        if not path.is_file() or self.folder not in path.read_text(encoding="utf-8"):
            shutil.rmtree(final, ignore_errors=True)

    def _moved(self, photo: Photo | None, final: Path) -> Photo | None:
        """`photo` as it will be found once the temporary folder has its name."""
        if photo is None:
            return None

        def moved(path: Path) -> Path:
            path = path.absolute()
            here = self.path.absolute()
            return final / path.relative_to(here) if path.is_relative_to(here) else path

        return Photo(moved(photo.path), None if photo.mask is None else moved(photo.mask))

    def _write_manifest(self, info: Mapping[str, Any]) -> None:
        """List every file with its hash, last; all of it is on the disk when this returns."""
        from recon import __version__

        files = {}
        for path in sorted(self.path.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    files[path.relative_to(self.path).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
                sync(path)
        manifest = {
            "stage": self.stage,
            "key": self.key,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "recon": __version__,
            "python": platform.python_version(),
            "info": info,
            "sha256": files,
        }
        path = self.path / MANIFEST
        path.write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        sync(path)
        for folder in (*(p for p in self.path.rglob("*") if p.is_dir()), self.path):
            sync(folder)
