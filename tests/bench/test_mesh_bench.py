"""The mesh benchmark on a small shape: its tables have a row for each resolution, and open shapes are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trimesh

from recon.bench.mesh import Options, main
from recon.errors import ReconError


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(2).export(path)
    main(Options((path,), resolutions=(16, 32), fits=(), out=tmp_path))
    tables = json.loads((tmp_path / "mesh.json").read_text())["tables"]
    assert [row[0] for row in tables[0]["rows"]] == [16, 32]


def test_open_shapes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.ply"
    ball = trimesh.creation.icosphere(2)
    trimesh.Trimesh(ball.vertices, ball.faces[: len(ball.faces) // 2]).export(path)
    with pytest.raises(ReconError, match="open mesh"):
        main(Options((path,)))
