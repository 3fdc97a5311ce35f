"""recon mask"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.poses.grabcut import Box


@dataclass(frozen=True)
class Mask:
    """Cut an object out of its background in every photo: grey masks for `masks:` of a scene.yaml."""

    photos: Annotated[Path, tyro.conf.Positional]
    """Folder of photos, or a pattern such as 'photos/*.jpg'."""
    out: Path
    """Folder for the masks, NAME.png for NAME.jpg."""
    box: tuple[float, float, float, float] = (0.1, 0.1, 0.9, 0.9)
    """Left, top, right and bottom of a box that holds the object in every photo, in shares of width and height."""
    boxes: Path | None = None
    """JSON file with {"NAME.jpg": [left, top, right, bottom], ...} for photos whose box is another one."""
    checkpoint: Path | None = None
    """Folder with the weights of a Segment Anything model of transformers, which then draws the masks instead of
    GrabCut: `hf download facebook/sam-vit-base --local-dir FOLDER`."""
    show: Path | None = None
    """Folder for pictures to look at: photos whose background is dimmed."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from rich.progress import track

        from recon.io.decode import decode_photo, write_grey, write_png
        from recon.io.photos import PhotoSet
        from recon.pipeline.run import refused_writes
        from recon.poses.grabcut import Box, cut_out

        photos = PhotoSet.of(self.photos).in_order()
        if self.out.resolve() in {photo.parent.resolve() for photo in photos}:
            raise ReconError(
                f"--out {self.out}", found="the photos' own folder", fix="give masks a folder of their own"
            )
        common = Box(*self.box)
        special = {} if self.boxes is None else _boxes(self.boxes, [photo.name for photo in photos])
        draw = cut_out
        if self.checkpoint is not None:
            from recon.poses.segment import SamConfig, Segmenter
            from recon.render.device import choose_device

            draw = Segmenter(SamConfig(checkpoint=self.checkpoint), choose_device("auto")[0]).cut_out
        with refused_writes(self.out):
            for photo in track(photos, description="masks"):
                pixels, _ = decode_photo(photo)
                rgb = (pixels[..., :3] >> (8 if pixels.dtype.itemsize == 2 else 0)).astype("uint8")
                mask = draw(rgb, special.get(photo.name, common), photo.name)
                write_grey(self.out / f"{photo.stem}.png", mask)
                if self.show is not None:
                    dimmed = rgb // 4 + (mask[..., None] // 255) * (rgb - rgb // 4)
                    write_png(self.show / f"{photo.stem}.png", dimmed)
        print(f"{len(photos)} masks in {self.out}; in scene.yaml:\n\npreset: object\nmasks: {self.out}")
        return 0


def _boxes(path: Path, names: Sequence[str]) -> Mapping[str, Box]:
    """The boxes in a JSON file, by name of photo."""
    from recon.io.files import load_json_object
    from recon.poses.grabcut import Box

    found = {}
    for name, sides in load_json_object(path).items():
        if name not in names:
            raise ReconError(f"{path}: {name}: no such photo", wanted=f"names such as {names[0]}")
        if not isinstance(sides, list) or len(sides) != 4 or not all(isinstance(side, int | float) for side in sides):
            raise ReconError(f"{path}: {name}", found=sides, wanted="[left, top, right, bottom], shares of the size")
        found[name] = Box(*sides)
    return found
