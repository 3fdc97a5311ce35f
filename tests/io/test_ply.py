"""PLY files against themselves and against plyfile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_splats import random_family

from recon.errors import ReconError
from recon.io.ply import read_points, read_splats, write_points, write_splats
from recon.scene import Points, Splats
from recon.scene.families import FAMILIES

INRIA = (
    ["x", "y", "z", "nx", "ny", "nz"]
    + [f"f_dc_{i}" for i in range(3)]
    + [f"f_rest_{i}" for i in range(45)]
    + ["opacity"]
    + [f"scale_{i}" for i in range(3)]
    + [f"rot_{i}" for i in range(4)]
)


def random_splats(count: int, degree: int) -> Splats:
    generator = torch.Generator().manual_seed(count + degree)
    shapes = {
        "means": (3,),
        "quats": (4,),
        "log_scales": (3,),
        "opacity_logits": (),
        "sh_coeffs": ((degree + 1) ** 2, 3),
    }
    params = {name: torch.randn(count, *shape, generator=generator) for name, shape in shapes.items()}
    return Splats("gaussian", params)


@pytest.mark.parametrize("count", [0, 1, 37])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_splats_round_trip_bit_for_bit(tmp_path: Path, degree: int, count: int) -> None:
    splats = random_splats(count, degree)
    write_splats(tmp_path / "a.ply", splats)
    back = read_splats(tmp_path / "a.ply")
    assert back.family == "gaussian" and back.sh_degree == degree
    for name, tensor in splats.params.items():
        assert torch.equal(back[name], tensor) and back[name].dtype == torch.float32


def test_the_inria_layout_as_plyfile_reads_it(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    splats = random_splats(5, 3)
    write_splats(tmp_path / "a.ply", splats)
    data = plyfile.PlyData.read(tmp_path / "a.ply")
    vertex = data["vertex"]
    assert [one.name for one in vertex.properties] == INRIA
    assert {one.val_dtype for one in vertex.properties} == {"f4"}
    assert data.byte_order == "<" and not data.text
    # f_rest: all 15 of red, then green, then blue; plain values elsewhere.
    for channel in range(3):
        for coefficient in range(15):
            expected = splats["sh_coeffs"][:, 1 + coefficient, channel].numpy()
            np.testing.assert_array_equal(vertex[f"f_rest_{15 * channel + coefficient}"], expected)
    np.testing.assert_array_equal(vertex["f_dc_2"], splats["sh_coeffs"][:, 0, 2])
    np.testing.assert_array_equal(vertex["opacity"], splats["opacity_logits"])
    np.testing.assert_array_equal(vertex["rot_0"], splats["quats"][:, 0])  # w first
    assert not vertex["nx"].any()


@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, "<"), (False, ">")])
def test_files_that_plyfile_wrote(tmp_path: Path, text: bool, order: str) -> None:
    """Text, both byte orders, doubles, a list element after the vertices, properties in another order."""
    plyfile = pytest.importorskip("plyfile")
    rng = np.random.default_rng(0)
    rows = np.zeros(4, [("blue", "u1"), ("z", "f8"), ("x", "f8"), ("red", "u1"), ("y", "f8"), ("green", "u1")])
    for name in rows.dtype.names:
        rows[name] = rng.integers(0, 255, 4)
    faces = np.array([([0, 1, 2],)], [("vertex_indices", "i4", (3,))])
    elements = [plyfile.PlyElement.describe(rows, "vertex"), plyfile.PlyElement.describe(faces, "face")]
    plyfile.PlyData(elements, text=text, byte_order=order, comments=["hello"]).write(tmp_path / "a.ply")
    points = read_points(tmp_path / "a.ply")
    np.testing.assert_array_equal(points.positions, np.stack([rows["x"], rows["y"], rows["z"]], axis=1))
    np.testing.assert_allclose(points.colors * 255, np.stack([rows[c] for c in ("red", "green", "blue")], 1), atol=1e-4)
    assert points.normals is None and points.scales is None


@pytest.mark.parametrize("full", [True, False])
def test_points_round_trip(tmp_path: Path, full: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(9, 3, generator=generator), dim=-1)
    points = Points(torch.randn(9, 3, generator=generator), torch.rand(9, 3, generator=generator))
    if full:
        points = replace(points, normals=normals, scales=torch.rand(9, generator=generator))
    write_points(tmp_path / "a.ply", points)
    back = read_points(tmp_path / "a.ply")
    assert torch.equal(back.positions, points.positions)
    assert (back.colors - points.colors).abs().max() <= 0.5 / 255 + 1e-6  # 8-bit colours
    assert (back.normals is not None) == (back.scales is not None) == full
    if back.normals is not None and back.scales is not None and points.scales is not None:
        assert torch.equal(back.normals, normals) and torch.equal(back.scales, points.scales)


def test_a_splat_file_is_also_a_point_cloud_and_colourless_points_are_grey(tmp_path: Path) -> None:
    splats = random_splats(6, 1)
    write_splats(tmp_path / "a.ply", splats)
    points = read_points(tmp_path / "a.ply")
    assert torch.equal(points.positions, splats["means"]) and points.normals is None
    expected = (splats["sh_coeffs"][:, 0] * 0.28209479177387814 + 0.5).clamp(0, 1)
    torch.testing.assert_close(points.colors, expected)
    header = "ply\nformat ascii 1.0\nelement vertex 1\n" + "".join(f"property float {c}\n" for c in "xyz")
    (tmp_path / "b.ply").write_text(header + "end_header\n1 2 3\n")
    assert read_points(tmp_path / "b.ply").colors.tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("sh_degree", [0, 2])
def test_every_family_comes_back(tmp_path: Path, family: str, sh_degree: int) -> None:
    splats = random_family(family, sh_degree=sh_degree)
    write_splats(tmp_path / "a.ply", splats)
    again = read_splats(tmp_path / "a.ply")
    assert again.family == family and again.params.keys() == splats.params.keys()
    for name, value in splats.params.items():
        assert torch.equal(again[name], value), name
    assert len(read_points(tmp_path / "a.ply").positions) == len(splats), "other programs see points"


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    write_points(tmp_path / "p.ply", Points(torch.zeros(2, 3), torch.zeros(2, 3)))
    with pytest.raises(ReconError, match=r"p\.ply: not a splat PLY: found no property f_dc_0"):
        read_splats(tmp_path / "p.ply")
    write_splats(tmp_path / "t.ply", random_family("triangle"))
    data = (tmp_path / "t.ply").read_bytes()
    (tmp_path / "t.ply").write_bytes(data.replace(b"family triangle", b"family pyramids"))
    with pytest.raises(ReconError, match="the family 'pyramids': wanted gaussian, exponential"):
        read_splats(tmp_path / "t.ply")
    (tmp_path / "t.ply").write_bytes(data.replace(b"recon_vertices_8", b"other_vertices_8"))
    with pytest.raises(ReconError, match="recon_vertices: found 8 properties"):
        read_splats(tmp_path / "t.ply")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10**6), flip=st.integers(0, 10**6), value=st.integers(0, 255))
def test_broken_files_never_raise_anything_else(tmp_path: Path, cut: int, flip: int, value: int) -> None:
    write_splats(tmp_path / "a.ply", random_splats(3, 0))
    data = bytearray((tmp_path / "a.ply").read_bytes())
    data[flip % len(data)] = value
    (tmp_path / "a.ply").write_bytes(data[: cut % (len(data) + 1)])
    try:
        assert len(read_splats(tmp_path / "a.ply")) <= 3
    except ReconError as error:
        assert "a.ply" in str(error)
