"""A scene in other coordinates looks the same to cameras that moved along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import asymmetric_scene
import pytest
import torch
from random_splats import random_family

from recon.errors import ReconError
from recon.geometry import quaternion, rigid, spherical_harmonics
from recon.geometry.camera import Camera
from recon.io.formats import FORMATS
from recon.render.rasterize import rasterize
from recon.scene import Mesh, Node, Points, Scene, View
from recon.scene.axes import in_source_coordinates, parse_axes, scene_up, turned
from recon.scene.edit import reduced, with_sh_degree
from recon.scene.families import FAMILIES
from recon.scene.transform import Similarity, transform_scene


def some_similarity(scale: float) -> Similarity:
    rotation = quaternion.to_matrix(torch.tensor([0.3, 0.5, -0.7, 0.2], dtype=torch.float64))
    return Similarity(scale, rotation, torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_pictures_stay_the_same(family: str) -> None:
    splats = random_family(family, 40, sh_degree=2)
    pose = rigid.look_at(*(torch.tensor(v, dtype=torch.float64) for v in ([0.0, 1, -6], [0, 0, 0], [0.1, -1, 0])))
    view = View("a", Camera.pinhole(48, 40, 50.0), pose)
    before = Scene((view,), (Node("s", splats),))
    after = transform_scene(before, some_similarity(1.7))
    pictures = []
    for scene in (before, after):
        assert scene.splats is not None
        (one,) = scene.views
        pictures.append(
            rasterize(
                scene.splats.params, one.world_to_camera.float(), one.camera.K.float(), 48, 40, family=family,
                background=torch.tensor([0.2, 0.3, 0.4]),
            ).color
        )  # fmt: skip
    assert float(pictures[0].std()) > 0.02, "there is something to see"
    # A pixel at the edge of a footprint may count or not: 1/255 of a colour.
    assert (pictures[0] - pictures[1]).abs().max() < 6e-3
    assert (pictures[0] - pictures[1]).abs().mean() < 1e-5


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_turn(degree: int) -> None:
    turn = some_similarity(1).rotation
    harmonics = torch.randn(4, (degree + 1) ** 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    directions = torch.nn.functional.normalize(torch.randn(4, 3, dtype=torch.float64), dim=-1)
    after = spherical_harmonics.rotation(turn, degree) @ harmonics
    seen = spherical_harmonics.evaluate(after, directions @ turn.T)
    torch.testing.assert_close(seen, spherical_harmonics.evaluate(harmonics, directions))


def test_there_and_back(tmp_path: Path) -> None:
    scene = asymmetric_scene.scene(tmp_path)
    there = some_similarity(2.5)
    back = Similarity.of(torch.linalg.inv(there.matrix), "test")
    again = transform_scene(transform_scene(scene, there), back)
    assert scene.points is not None and again.points is not None and scene.splats is not None
    torch.testing.assert_close(again.points.positions, scene.points.positions, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.points.scales, scene.points.scales)
    torch.testing.assert_close(again.splats["sh_coeffs"], scene.splats["sh_coeffs"], atol=1e-5, rtol=1e-5)  # type: ignore[index]
    for one, other in zip(again.views, scene.views, strict=True):
        torch.testing.assert_close(one.world_to_camera, other.world_to_camera)
    torch.testing.assert_close(again.source_from_world, scene.source_from_world)
    moved = transform_scene(scene, there).mesh
    assert moved is not None and moved.normals is not None and scene.mesh is not None and scene.mesh.normals is not None
    torch.testing.assert_close(moved.vertices, there.points(scene.mesh.vertices))
    torch.testing.assert_close(
        moved.normals, torch.nn.functional.normalize(scene.mesh.normals @ there.rotation.float().T, dim=-1)
    )


def test_axes_and_up(tmp_path: Path) -> None:
    scene = asymmetric_scene.scene(tmp_path)
    assert parse_axes("x,-z,y") @ torch.tensor([1.0, 2, 3]).double() == pytest.approx([1, -3, 2])
    for text in ("x,z,y", "x,y", "x,x,y", "a,b,c"):
        with pytest.raises(ReconError, match="three signed axes"):
            parse_axes(text)
    for up, wanted in (("z", [0, 0, 1]), ("-y", [0, -1, 0])):
        assert scene_up(turned(scene, up=up)) == pytest.approx(wanted, abs=1e-9)
    upright = turned(scene, up="x")
    for target in ("x", "-x"):
        assert abs(float(scene_up(turned(upright, up=target))[0])) == pytest.approx(1)


def test_source_coordinates(tmp_path: Path) -> None:
    scene = replace(asymmetric_scene.scene(tmp_path), source_from_world=some_similarity(3).matrix)
    moved = in_source_coordinates(scene)
    torch.testing.assert_close(moved.source_from_world, torch.eye(4, dtype=torch.float64))
    assert scene.splats is not None and moved.splats is not None
    torch.testing.assert_close(moved.splats["means"], some_similarity(3).points(scene.splats["means"]))
    with pytest.raises(ReconError, match="no similarity"):
        in_source_coordinates(asymmetric_scene.scene(tmp_path))


def test_reduced(tmp_path: Path) -> None:
    scene = asymmetric_scene.scene(tmp_path)
    assert scene.splats is not None
    means = scene.splats["means"]
    low, high = means.quantile(0.2, dim=0), means.quantile(0.9, dim=0)
    cut = reduced(scene, sh_degree=1, crop=(*low.tolist(), *high.tolist()), min_opacity=0.1).splats
    keep = ((means >= low) & (means <= high)).all(1) & (scene.splats["opacity_logits"].sigmoid() >= 0.1)
    assert cut is not None and 0 < len(cut) == int(keep.sum()) < len(means)
    assert torch.equal(cut["sh_coeffs"], scene.splats["sh_coeffs"][keep, :4])
    assert torch.equal(with_sh_degree(cut, 2)["sh_coeffs"][:, 4:], torch.zeros(len(cut), 5, 3))
    with pytest.raises(ReconError, match="no splat is left"):
        reduced(scene, min_opacity=0.9999)
    with pytest.raises(ReconError, match="least x y z"):
        reduced(scene, crop=(0, 0, 0, 1, 0, 1))


def test_a_mesh_is_cropped_to_whole_triangles(tmp_path: Path) -> None:
    mesh = asymmetric_scene.scene(tmp_path).nodes[3].content
    assert isinstance(mesh, Mesh) and mesh.uvs is not None and mesh.normals is not None and mesh.colors is not None
    scene = Scene(nodes=(Node("m", mesh),))
    cut = reduced(scene, crop=(4.9, 4.9, 4.9, 6.1, 7.1, 5.1)).mesh  # without the vertex at z = 8
    assert cut is not None and cut.uvs is not None and cut.normals is not None and cut.colors is not None
    assert torch.equal(cut.vertices[cut.faces], mesh.vertices[mesh.faces[:1]])
    for name in ("uvs", "normals", "colors"):
        assert torch.equal(getattr(cut, name)[cut.faces], getattr(mesh, name)[mesh.faces[:1]])
    assert reduced(scene, crop=(0, 0, 0, 1, 1, 1)).mesh is None


def squeezed_and_mirrored() -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] = torch.tensor([[0.0, -2, 0, 1], [-1, 0, 0.5, 0], [0, 0, 3, -4]])
    return matrix


def test_what_hangs_below_a_matrix_is_where_it_shows(tmp_path: Path) -> None:
    plain = asymmetric_scene.scene(tmp_path)
    mesh, cloud = plain.nodes[3].content, plain.nodes[0].content
    assert isinstance(mesh, Mesh) and isinstance(cloud, Points)
    group, own = some_similarity(2).matrix, squeezed_and_mirrored()
    scene = Scene(nodes=(Node("g", None, "region", None, group), Node("m", mesh, "object", "g", own),
                         Node("p", cloud, "object", "g")))  # fmt: skip
    assert scene.mesh is not None and scene.points is not None and scene.mesh.normals is not None
    torch.testing.assert_close(scene.mesh.vertices, rigid.transform_points(group @ own, mesh.vertices.double()).float())
    torch.testing.assert_close(scene.points.positions, some_similarity(2).points(cloud.positions))
    assert scene.points.scales is not None and cloud.scales is not None
    torch.testing.assert_close(scene.points.scales, 2 * cloud.scales)
    corners = torch.eye(3)
    upright = Mesh(corners, torch.tensor([[0, 1, 2]]), torch.ones(3, 3) / 3**0.5)
    seen = Scene(nodes=(Node("m", upright, "object", None, own),)).mesh
    assert seen is not None and seen.normals is not None
    a, b, c = seen.vertices[seen.faces[0]]
    outside = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=0)
    torch.testing.assert_close(seen.normals[0], outside)  # the mirrored triangle is turned over


@pytest.mark.parametrize("name", ["mesh.glb", "mesh.obj", "mesh.ply"])
def test_exporters_and_the_crop_follow_matrices(tmp_path: Path, name: str) -> None:
    import trimesh

    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]])
    mesh = Mesh(corners, torch.tensor([[0, 1, 2], [1, 2, 3]]))
    matrix = some_similarity(3).matrix
    scene = Scene(nodes=(Node("g", None, "region", None, matrix), Node("m", mesh, "object", "g")))
    wanted = some_similarity(3).points(corners[:3])
    box = (*(wanted.amin(0) - 0.1).tolist(), *(wanted.amax(0) + 0.1).tolist())
    FORMATS["mesh"].write(reduced(scene, crop=box), tmp_path / name)
    found = trimesh.load(tmp_path / name, force="mesh", process=False)
    assert found.vertices == pytest.approx(wanted.numpy(), abs=1e-5)
