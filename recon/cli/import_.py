"""recon import"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.pipeline.importing import Source


@dataclass(frozen=True)
class Import:
    """Make a scene of what another program made (docs/formats.md): splats (.ply, .compressed.ply, .splat, .spz, .sog
    or its folder, .glb, .gltf, .usd), a nerfstudio run, or photos with cameras (COLMAP, nerfstudio, Polycam, ...).

    Splats alone can be rendered and exported; with --images also measured against the photos and fine-tuned."""

    source: Annotated[Path, tyro.conf.Positional]
    """File or folder to read."""
    out: Path
    """Folder for the scene."""
    images: Path | None = None
    """Photos that the splats were made of: a folder, or a glob in quotes. A nerfstudio run names its own."""
    cameras: Path | None = None
    """Cameras of the photos, in the coordinates of the splats; looked for beside the photos when not given."""
    masks: Path | None = None
    """Folder of masks of the photos."""
    test: str | None = None
    """Photos to measure on, such as every-8; by default those that the capture holds out."""
    downscale: float = 1.0
    """Divide width and height of the photos."""
    transform: Path | None = None
    """JSON with `transform` (3x4) and `scale`, from the photos' coordinates to those of the splats: the
    dataparser_transforms.json that nerfstudio leaves beside an export."""
    axes: str | None = None
    """New axes of splats in terms of those in the file, such as x,-y,-z, where another program turned them."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Which way is up, for the cameras of splats without photos. Default: y for glTF, else -y as trainers have it."""
    pictures: int | None = None
    """Take this many pictures of splats without photos, from all around, and go on with them as with photos:
    `recon run` then makes a mesh."""
    antialias: bool | None = None
    """Whether the splats were trained with antialiasing (mip-splatting). Default: as a nerfstudio run says, else no."""
    drop_broken: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out splats with a number that is not finite instead of refusing the file."""
    drop_outliers: float | None = None
    """Leave out splats further from their 20 nearest than the mean by this many standard deviations, such as 2 (needs
    Open3D)."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print warnings and errors only."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.cli.progress import make_listener
        from recon.pipeline.importing import import_scene, write_config
        from recon.pipeline.run import refused_writes

        if not self.source.exists():
            raise ReconError(f"{self.source}: no such file or folder", fix="check the path")
        source = self._source()
        images = self.images or (self.source if source is None else source.data)
        up = _direction(self.up or ("y" if self.source.suffix.lower() in (".glb", ".gltf") else "-y"))
        photos = None
        if self.pictures is not None:
            photos = self._photos(self._pictures(source, up), True)
        elif images is not None:
            photos = self._photos(images if source is None or self.images else _existing(images), source is None)
        elif self.cameras or self.test or self.masks:
            raise ReconError("--cameras, --masks and --test are about photos", fix="add --images")
        with make_listener(self.quiet) as listener, refused_writes(self.out):
            scene = import_scene(
                self.out,
                source,
                photos,
                up=up,
                name=self.source.name,
                events=listener,
            )
            if photos is not None:
                print(f"to go on: recon run {write_config(self.out, photos, scene, self.pictures is None)}")
        return 0

    def _pictures(self, source: Source | None, up: tuple[float, float, float]) -> Path:
        """The folder with pictures of the splats."""
        from recon.pipeline.pictures import take_pictures

        if source is None or source.data or source.run_from_source or self.images or self.cameras or self.masks:
            raise ReconError("--pictures is for splats without photos", found="photos", fix="leave out one of the two")
        if self.pictures is None or not 3 <= self.pictures <= 1000:
            raise ReconError("--pictures", found=self.pictures, wanted="3 to 1000")
        self.out.mkdir(parents=True, exist_ok=True)
        return take_pictures(self.out, source, self.pictures, up)

    def _photos(self, images: Path, is_capture: bool) -> Any:
        """The configuration of the poses stage. A capture may be named by its folder or by its camera file."""
        from recon.pipeline.config import build_config
        from recon.pipeline.document import Document

        folder, cameras = images, self.cameras
        if is_capture and images.is_file():
            folder, cameras = images.parent, cameras or images
        data: dict[str, Any] = {"images": str(folder.absolute()), "output": str(self.out.absolute())}
        data["poses"] = {"dense": {"method": "none"}}
        if self.downscale != 1:
            data["downscale"] = self.downscale
        for key, path in (("cameras", cameras), ("masks", self.masks)):
            if path is not None:
                data[key] = str(path.absolute())
        if self.test is not None:
            data["views"] = {"test": self.test if self.test.startswith("every-") else self.test.split(",")}
        return build_config(Document(data), name="recon import")

    def _source(self) -> Source | None:
        """The splats with what the options say about them; None for a capture."""
        from recon.geometry.open3d import inliers
        from recon.io.nerfstudio_run import read_transform
        from recon.pipeline.importing import open_source
        from recon.scene.axes import parse_axes
        from recon.scene.edit import centers, select_from
        from recon.scene.nodes import Splats
        from recon.scene.transform import Similarity, transform_splats

        source = open_source(self.source, self.drop_broken)
        if source is None:
            if self.transform or self.axes or self.antialias is not None or self.drop_outliers is not None:
                raise ReconError(
                    "--transform, --axes, --antialias and --drop-outliers are about splats", found="a capture"
                )
            return None
        if self.drop_outliers is not None:
            kept = inliers(centers(source.splats), self.drop_outliers)
            family, params = source.splats.family, dict(source.splats.params)
            source = replace(source, splats=Splats(family, {}))
            source = replace(source, splats=select_from(family, params, kept))
        if self.axes is not None:
            turn = Similarity(1.0, parse_axes(self.axes), source.splats["sh_coeffs"].new_zeros(3).double())
            source = replace(source, splats=transform_splats(source.splats, turn, in_place=True))
        if self.transform is not None:
            source = replace(source, run_from_source=read_transform(self.transform))
        return source if self.antialias is None else replace(source, antialias=self.antialias)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ReconError(f"{path}: the photos that the run names are not there", fix="say where with --images")
    return path


def _direction(name: str) -> tuple[float, float, float]:
    value = -1.0 if name.startswith("-") else 1.0
    x, y, z = (value if axis == name[-1] else 0.0 for axis in "xyz")
    return x, y, z
