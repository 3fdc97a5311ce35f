"""Blender renderings in the NeRF-synthetic layout: transforms_train.json, _val and _test beside RGBA photos."""

from __future__ import annotations

from pathlib import Path

from recon.io.exif import read_header
from recon.io.files import load_json_object
from recon.io.frames import Capture, CaptureParts, assemble
from recon.io.photos import MaskFolder, PhotoSet
from recon.io.transforms_json import read_frames
from recon.scene.nodes import Split

WHITE = (1.0, 1.0, 1.0)
"""Background that all published figures on these scenes are measured with."""


class BlenderReader:
    """A folder with transforms_train.json; transforms_test.json, else transforms_val.json, holds the test views."""

    name = "Blender (NeRF-synthetic)"
    looks_for = "transforms_train.json"

    def find(self, place: Path) -> Path | None:
        source = place / self.looks_for
        return source if source.is_file() else None

    def read(self, source: Path, photos: PhotoSet, masks: MaskFolder | None) -> Capture:
        files: list[tuple[Path, Split]] = [(source, "train")]
        held_out = [source.with_name(f"transforms_{name}.json") for name in ("test", "val")]
        files += [(path, "test") for path in held_out if path.is_file()][:1]
        raw = [(frame, split) for path, split in files for frame in read_frames(load_json_object(path), path)]
        found = photos.find_all([frame.listed for frame, _ in raw], source.parent)
        frames = [frame.with_photo(photo, split) for (frame, split), photo in zip(raw, found, strict=True)]
        first = next((photo for photo in found if photo is not None), None)
        transparent = first is not None and read_header(first).has_alpha
        return assemble(source, frames, photos, masks, CaptureParts(background=WHITE if transparent else None))
