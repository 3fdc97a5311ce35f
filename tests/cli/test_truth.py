"""Scenes against true surfaces, and outliers among splats of others."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from command import Cli

from recon.errors import ReconError
from recon.evaluate.alignment import align
from recon.evaluate.surface import compare_surfaces
from recon.geometry import quaternion
from recon.io.ply import read_splats, write_splats
from recon.io.surface import write_mesh
from recon.pipeline.outputs import Truth, evaluate_scene
from recon.scene import Mesh, Node, Splats
from recon.scene.store import SceneStore

needs_open3d = pytest.mark.skipif(
    importlib.util.find_spec("open3d") is None, reason="open3d is not installed: pip install 'recon[open3d]'"
)


def bumpy(side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A sheet with a bump: no motion maps it onto itself."""
    x, y = (one.reshape(-1) for one in torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij"))
    vertices = torch.stack([x, 0.6 * y, 0.3 * x * x + 0.2 * torch.exp(-30 * ((x - 0.3) ** 2 + (y - 0.6) ** 2))], dim=1)
    corner = (torch.arange(side - 1)[:, None] * side + torch.arange(side - 1)).reshape(-1)
    faces = torch.cat([torch.stack([corner, corner + side, corner + 1], 1),
                       torch.stack([corner + 1, corner + side, corner + side + 1], 1)])  # fmt: skip
    return vertices, faces


def turned(vertices: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """By four degrees, and a little away."""
    half = math.radians(2)
    rotation = quaternion.to_matrix(torch.tensor([math.cos(half), 0.0, math.sin(half), 0.0]))
    return scale * vertices @ rotation.T + torch.tensor([0.02, 0.03, -0.02])


@needs_open3d
def test_a_mesh_is_laid_over_the_surface_before_it_is_measured() -> None:
    vertices, faces = bumpy()
    for how, scale in (("rigid", 1.0), ("similarity", 1.05)):
        mesh = turned(vertices, scale), faces
        placed, note = align(mesh, (vertices, faces), how)  # type: ignore[arg-type]
        before, after = (compare_surfaces(one, (vertices, faces), 5000) for one in (mesh, placed))
        assert after.chamfer < 0.1 * before.chamfer and note["overlap"] > 0.99
        assert note["turned_deg"] == pytest.approx(4, abs=0.3) and note["scale"] == pytest.approx(1 / scale, abs=0.01)
    with pytest.raises(ReconError, match="does not come to lie on the true surface"):
        align((vertices + 5, faces), (vertices, faces), "rigid")


def test_the_true_surface_is_measured_against(finished: Path, recon: Cli) -> None:
    vertices, faces = bumpy()
    scene = SceneStore(finished / "out").load()
    shown = scene.with_node(Node("mesh", Mesh(vertices, faces)))
    metrics = evaluate_scene(shown, finished / "out", lambda event: None, Truth(surface=(vertices, faces))).metrics
    assert metrics["mesh"]["surface"]["f_1%"] == 1 and "aligned" not in metrics["mesh"]["surface"]
    write_mesh(finished / "truth.ply", Mesh(vertices, faces))
    done = recon("eval", finished / "out", "--surface", finished / "truth.ply")
    assert done.code == 2 and "no mesh to compare with" in done.err
    assert "--align is about --surface" in recon("eval", finished / "out", "--align", "rigid").err


@needs_open3d
def test_outliers_among_imported_splats_are_left_out(finished: Path, recon: Cli) -> None:
    splats = read_splats(finished / "out" / "exports" / "splats.ply")
    params = {name: value.clone() for name, value in splats.params.items()}
    params["means"][0] = 500.0
    write_splats(finished / "far.ply", Splats(splats.family, params))
    done = recon("import", finished / "far.ply", "--out", finished / "b", "--drop-outliers", "3", "--quiet")
    assert done.code == 0, done.err
    found = SceneStore(finished / "b").load().splats
    assert found is not None and len(splats) - 5 <= len(found) < len(splats)
    assert float(found["means"].abs().max()) < 100
    wrong = recon("import", finished / "capture", "--out", finished / "c", "--drop-outliers", "3")
    assert wrong.code == 2 and "are about splats" in wrong.err
