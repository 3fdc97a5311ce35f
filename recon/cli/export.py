"""recon export"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from recon.errors import ReconError

Name = Literal[
    "ply", "gaussians", "compressed-ply", "splat", "spz", "spz4", "sog", "glb", "usd", "mesh", "obj", "ply-mesh", "stl",
    "points", "colmap", "colmap-text", "nerfstudio",
]  # fmt: skip
"""The keys of `recon.io.formats.FORMATS`, which is not imported until it is needed."""


@dataclass(frozen=True)
class Export:
    """Write a scene's content in a format of other programs (docs/formats.md)."""

    out: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    format: Name | Literal["html"] = "ply"
    """Splats: `ply` (read by everything), `compressed-ply`, `splat`, `spz` (version 3), `spz4`, `sog`; `glb` and `usd`
    with meshes and cameras; `gaussians`: surfels and exponentials as Gaussians. The mesh, or of a scene without one its
    opaque triangles: `mesh` (GLB), `obj`, `ply-mesh`, `stl`. `points`: where the splats started.
    `html`: everything in one page that opens from disk. With photos: `colmap`,
    `colmap-text`, `nerfstudio`."""
    to: Path | None = None
    """File or folder to write; for a mesh its suffix chooses the format. Default: exports/ in the run's folder."""
    sh_degree: Literal[0, 1, 2, 3] | None = None
    """Highest degree of harmonics to write."""
    crop: tuple[float, float, float, float, float, float] | None = None
    """Only what lies in this box, splats, points and whole triangles: least x y z, then greatest x y z, in the scene's
    coordinates."""
    min_opacity: float = 0.0
    """Only splats at least this opaque, in [0, 1]."""
    frame: Literal["world", "source"] = "world"
    """`world`: coordinates as in the scene; `source`: those of the capture where its reader changed them (DTU,
    nerfstudio)."""
    axes: str | None = None
    """New axes in terms of the old ones, such as x,-z,y (y up to z up) or x,-y,-z (OpenCV to OpenGL)."""
    saved: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Crop and least opacity as saved in the viewer."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Turn the scene so that what the cameras hold for up becomes this axis."""

    def run(self, argv: Sequence[str]) -> int:
        """Returns the exit code."""
        from recon.scene.folder import output_folder

        out = output_folder(self.out)
        if not 0 <= self.min_opacity <= 1:
            raise ReconError("--min-opacity", found=self.min_opacity, wanted="a number in [0, 1]")
        if self.axes is not None and self.up is not None:
            raise ReconError("--axes and --up both say how to turn the scene", fix="give one of them")
        from recon.io.formats import FORMATS
        from recon.pipeline.run import refused_writes
        from recon.scene.axes import in_source_coordinates, turned
        from recon.scene.edit import reduced
        from recon.scene.store import SceneStore

        if self.format == "html":
            from recon.viewer import single_page

            chosen = single_page.FORMAT
        else:
            chosen = FORMATS[self.format]
        path = self.to or out / "exports" / chosen.file
        scene = SceneStore(out).load()
        about_splats = {"--sh-degree": self.sh_degree is not None, "--min-opacity": self.min_opacity > 0}
        if any(about_splats.values()) and not chosen.splats(scene):
            given = " and ".join(name for name, present in about_splats.items() if present)
            raise ReconError(f"{given} says which splats to write", found=f"--format {self.format}, which has none")
        crop, min_opacity = self.crop, self.min_opacity
        if self.saved:
            from recon.viewer.saved import crop_of, read_saved

            if crop is not None or min_opacity > 0:
                raise ReconError("--saved and --crop or --min-opacity both say what to keep", fix="give one of them")
            saved = read_saved(out)
            crop, min_opacity = crop_of(saved), saved.min_opacity
        whole, scene = scene, reduced(scene, sh_degree=self.sh_degree, crop=crop, min_opacity=min_opacity)
        if chosen.splats(scene) and not chosen.splats(whole):
            raise ReconError("no triangle of the mesh is left", found="none inside of --crop", fix="give a larger box")
        if self.frame == "source":
            scene = in_source_coordinates(scene)
        scene = turned(scene, self.axes, self.up)
        with refused_writes(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if chosen.folder and self.to is None and path.is_dir():
                shutil.rmtree(path)  # of an earlier export: nobody else writes there
            chosen.write(scene, path)
        print(path)
        return 0
