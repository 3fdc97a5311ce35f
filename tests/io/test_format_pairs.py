"""From every format of splats to every other, through `recon import` and `recon export`, read by somebody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asymmetric_scene
import pytest
from precision import PRECISION, assert_same
from second_readers import by_gsply, by_plyfile, by_pxr, by_pygltflib, by_splat_transform

from recon.cli.main import main
from recon.io.formats import FORMATS
from recon.scene import Node, Scene, Splats

COUNT = 40
READERS: dict[str, Callable[[Path], Splats]] = {
    "ply": by_plyfile, "glb": by_pygltflib, "usd": by_pxr, "splat": by_splat_transform, "compressed-ply": by_gsply,
    "spz": by_gsply, "spz4": by_gsply, "sog": by_splat_transform,
}  # fmt: skip
"""One for each format, none of which shares code with ours."""


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the scene that `recon import` makes of the asymmetric splats in a format; each is made once."""
    folder = tmp_path_factory.mktemp("imported")

    def scene_of(name: str) -> Path:
        out = folder / name
        if not out.exists():
            path = folder / f"{name}-{FORMATS[name].file}"
            FORMATS[name].write(Scene(nodes=(Node("splats", asymmetric_scene.splats(COUNT)),)), path)
            assert main(["import", str(path), "--out", str(out), "--quiet"]) == 0
        return out

    return scene_of


def test_every_format_of_splats_is_here() -> None:
    both_ways = {name for name, one in FORMATS.items() if one.read is not None}
    assert set(READERS) == set(PRECISION) and both_ways | {"spz4"} == set(READERS)


@pytest.mark.parametrize("second", sorted(READERS))
@pytest.mark.parametrize("first", sorted(READERS))
def test_a_conversion_adds_up_what_the_formats_round(
    tmp_path: Path, imported: Callable[[str], Path], first: str, second: str
) -> None:
    path = tmp_path / FORMATS[second].file
    assert main(["export", str(imported(first)), "--format", second, "--to", str(path)]) == 0
    # The scene's own folder stores activated scales and opacities, whose logarithms come back but for a last digit.
    stored = PRECISION["glb"]
    assert_same(READERS[second](path), asymmetric_scene.splats(COUNT), PRECISION[first] + stored + PRECISION[second])
