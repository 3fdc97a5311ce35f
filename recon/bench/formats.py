"""`recon bench formats`: every format that holds splats: precision, size, and what of a scene's pictures is left."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from recon.bench.report import Report
from recon.errors import ReconError
from recon.evaluate.image import psnr
from recon.evaluate.renderer import SplatRenderer
from recon.geometry import quaternion, spherical_harmonics
from recon.io.formats import FORMATS, read_splats
from recon.scene import Node, Scene, Splats
from recon.scene.edit import select
from recon.scene.folder import output_folder
from recon.scene.store import SceneStore

_NAMES = ("ply", "glb", "usd", "compressed-ply", "splat", "spz", "spz4", "sog")
INSTALLED = tuple(name for name in _NAMES if name != "usd" or importlib.util.find_spec("pxr") is not None)
"""Formats of splats that can be written and read here."""
_DIRECTIONS = 6
_SHARE = 0.99


@dataclass(frozen=True)
class Options:
    """Write the Gaussians of a scene in every format, read them back, and compare numbers and pictures."""

    scene: Annotated[Path, tyro.conf.Positional]
    """Output folder of a run."""
    formats: tuple[str, ...] = INSTALLED
    """Formats to compare; by default all, `usd` where usd-core is installed."""
    views: int = 4
    """Pictures to compare, of the first views."""
    out: Path | None = None
    """Folder for the table as Markdown and JSON."""


def main(options: Options) -> None:
    """Print the table."""
    unknown = [name for name in options.formats if name not in _NAMES]
    if unknown:
        raise ReconError("formats to compare", found=unknown, wanted=", ".join(_NAMES))
    scene = SceneStore(output_folder(options.scene)).load()
    if scene.splats is None or scene.splats.family != "gaussian" or not scene.views:
        found = None if scene.splats is None else f"splats of the family {scene.splats.family}"
        raise ReconError(f"{options.scene}: formats are compared on Gaussians seen from views", found=found)
    original = scene.splats
    scene = replace(scene, nodes=(Node("splats", original, kind="scene"),), relations=())  # no mesh weighs in
    what = f"{len(original)} Gaussians, harmonics of degree {original.sh_degree}; errors that 99 % stay below"
    report = Report(f"{what}, pictures of {min(options.views, len(scene.views))} views against those before")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="recon-bench-") as folder:
        for name in options.formats:
            path = Path(folder) / FORMATS[name].file
            begin = time.perf_counter()
            FORMATS[name].write(scene, path)
            between = time.perf_counter()
            copy = _matched(read_splats(path), original)
            seconds = (between - begin, time.perf_counter() - between)
            size = path.stat().st_size
            quality = np.mean(list(_psnrs(scene, copy, options.views)))
            rows.append([name, f"{size / 1e6:.2f}", f"{size / len(original):.1f}", *_errors(copy, original),
                         "same" if quality > 99 else f"{quality:.1f}", *(f"{one:.1f}" for one in seconds)])  # fmt: skip
    header = ["format", "MB", "bytes a splat", "position", "rotation deg", "log scale", "opacity", "colour",
              "pictures dB", "write s", "read s"]  # fmt: skip
    report.add(header, rows)
    report.write(options.out, "formats")


def _matched(copy: Splats, original: Splats) -> Splats:
    """`copy` in the order of `original`: some formats sort. By place, size, opacity and colour: places are rounded."""
    from scipy.spatial import cKDTree

    means = original["means"].double()
    spacing, _ = cKDTree(means.numpy()).query(means[:: max(len(means) // 1000, 1)].numpy(), k=2)
    unit = max(float(np.median(spacing[:, -1])), 1e-9)

    def signature(splats: Splats) -> np.ndarray:
        parts = (splats["means"] / unit, splats["log_scales"], splats["opacity_logits"].sigmoid()[:, None] * 4)
        return torch.cat([*parts, splats["sh_coeffs"][:, 0] * 4], dim=1).double().numpy()

    _, which = cKDTree(signature(copy)).query(signature(original))
    return select(copy, torch.from_numpy(which))


def _errors(found: Splats, original: Splats) -> list[str]:
    """What 99 % of the splats stay below, as texts: scene units, degrees, logarithms, opacities, colours."""
    a, b = (quaternion.normalize(one["quats"].double()) for one in (found, original))
    half = torch.minimum((a - b).norm(dim=1), (a + b).norm(dim=1)) / 2
    angles = 4 * torch.rad2deg(torch.asin(half.clamp(max=1)))
    directions = torch.randn(_DIRECTIONS, 3, generator=torch.Generator().manual_seed(0))
    colors = []
    for direction in torch.nn.functional.normalize(directions, dim=-1):
        seen = [
            (spherical_harmonics.evaluate(one["sh_coeffs"], direction) + 0.5).clamp(0, 1) for one in (found, original)
        ]
        colors.append((seen[0] - seen[1]).abs().amax(1))
    errors = [
        (found["means"] - original["means"]).norm(dim=1),
        angles,
        (found["log_scales"] - original["log_scales"]).abs().amax(1),
        (found["opacity_logits"].sigmoid() - original["opacity_logits"].sigmoid()).abs(),
        torch.stack(colors).amax(0),
    ]
    shares = [float(one.double().kthvalue(max(int(_SHARE * len(one)), 1)).values) for one in errors]
    return ["0" if one < 1e-5 else f"{one:.2g}" for one in shares]


def _psnrs(scene: Scene, found: Splats, views: int) -> Iterator[float]:
    before = SplatRenderer.of(scene)
    device = before.splats["sh_coeffs"].device
    after = replace(before, splats=Splats(found.family, {k: v.to(device) for k, v in found.params.items()}))
    for view in scene.views[:views]:
        yield psnr(before(view), after(view))
