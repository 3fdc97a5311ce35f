"""What is published is what is loaded, here and by other people's readers."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import asymmetric_scene
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.geometry import quaternion, rigid, spherical_harmonics
from recon.scene import Node, Points, Scene, Splats
from recon.scene.families import FAMILIES
from recon.scene.store import SceneStore

KHR = "KHR_gaussian_splatting"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def published(tmp_path: Path) -> tuple[Scene, Path]:
    scene = asymmetric_scene.scene(tmp_path / "out" / "photos")
    with SceneStore(tmp_path / "out").begin("splats", "key") as writer:
        writer.publish(scene, {"seconds": 1.5})
    return scene, tmp_path / "out"


def _covariances(splats: Splats) -> torch.Tensor:
    half = quaternion.to_matrix(splats["quats"].double()) * splats["log_scales"].double().exp()[:, None]
    return half @ half.transpose(-1, -2)


def test_views_come_back_bit_for_bit(published: tuple[Scene, Path]) -> None:
    scene, out = published
    loaded = SceneStore(out).load()
    assert [view.name for view in loaded.views] == ["a.png", "b.png", "c"]
    for old, new in zip(scene.views, loaded.views, strict=True):
        assert torch.equal(old.world_to_camera, new.world_to_camera) and torch.equal(old.camera.K, new.camera.K)
        assert replace(old.camera, K=None) == replace(new.camera, K=None)
        assert (old.photo, old.split) == (new.photo, new.split)


def test_graph_comes_back(published: tuple[Scene, Path]) -> None:
    scene, out = published
    loaded = SceneStore(out).load()
    assert loaded.relations == scene.relations and loaded.metric
    assert torch.equal(loaded.source_from_world, scene.source_from_world)
    for old, new in zip(scene.nodes, loaded.nodes, strict=True):
        assert (old.id, old.kind, old.parent) == (new.id, new.kind, new.parent)
        assert torch.equal(old.parent_from_node, new.parent_from_node)
    (record,) = loaded.provenance
    assert (record.stage, record.key, record.info) == ("splats", "key", {"seconds": 1.5})


def test_splats_keep_geometry_and_colour_from_every_side(published: tuple[Scene, Path]) -> None:
    scene, out = published
    old, new = scene.splats, SceneStore(out).load().splats
    assert old is not None and new is not None and new.sh_degree == 3
    assert torch.equal(old["means"], new["means"]) and torch.equal(old["sh_coeffs"], new["sh_coeffs"])
    # Activated values are rounded to float32: a few units in the last place of scales and rotations.
    torch.testing.assert_close(_covariances(new), _covariances(old), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(new["log_scales"], old["log_scales"], rtol=0, atol=5e-7)
    # d logit = d opacity / (o (1 - o)): half a unit in the last place at 6 grows 400 times.
    torch.testing.assert_close(new["opacity_logits"], old["opacity_logits"], rtol=0, atol=2e-5)
    for direction in torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(1))):
        there, here = (spherical_harmonics.evaluate(one["sh_coeffs"], direction) for one in (old, new))
        assert torch.equal(there, here)


def test_points_and_mesh_come_back(published: tuple[Scene, Path]) -> None:
    scene, out = published
    loaded = SceneStore(out).load()
    for old, new in ((scene.points, loaded.points), (scene.mesh, loaded.mesh)):
        assert old is not None and new is not None
        for name, value in vars(old).items():
            again = getattr(new, name)
            if name == "colors":  # through linear light
                torch.testing.assert_close(again, value, rtol=0, atol=5e-7)
            else:
                assert np.array_equal(again, value), name


@pytest.mark.parametrize("logit", [-300.0, -80.0, 18.0, 300.0])
def test_extreme_opacities_and_scales_stay_finite(tmp_path: Path, logit: float) -> None:
    splats = asymmetric_scene.splats(2)
    extreme = {"opacity_logits": torch.full((2,), logit), "log_scales": torch.full((2, 3), -200.0)}
    scene = Scene(nodes=(Node("splats", Splats("gaussian", {**splats.params, **extreme})),))
    with SceneStore(tmp_path).begin("splats", "key") as writer:
        writer.publish(scene)
    loaded = SceneStore(tmp_path).load().splats
    assert loaded is not None and all(bool(value.isfinite().all()) for value in loaded.params.values())
    assert bool(((loaded["opacity_logits"] > 0) == (logit > 0)).all())


_float = st.floats(-30, 30, width=32)
_quat = st.tuples(_float, _float, _float, _float).filter(lambda q: sum(x * x for x in q) > 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_quat, st.tuples(_float, _float, _float), _float), min_size=1, max_size=5))
def test_any_rotation_scale_and_opacity_comes_back(
    rows: list[tuple[tuple[float, ...], tuple[float, ...], float]],
) -> None:
    quats, log_scales, logits = (torch.tensor(column) for column in zip(*rows, strict=True))
    params = {"quats": quats, "log_scales": log_scales, "opacity_logits": logits}
    codec = FAMILIES["gaussian"]
    stored = codec.to_arrays(Splats("gaussian", {**asymmetric_scene.splats(len(rows)).params, **params}))
    named = {name: array for name, array in stored.items() if name != "SH"}
    named |= {codec.attribute(f"SH/{k}"): stored["SH"][:, k] for k in range(16)}
    back = codec.from_arrays(named)
    torch.testing.assert_close(back["quats"], quaternion.normalize(quats), rtol=0, atol=1e-6)
    # One rounding of exp(x) to float32 is 6e-8 of it; the logarithm near 30 rounds to 2e-6.
    torch.testing.assert_close(back["log_scales"], log_scales, rtol=1e-7, atol=1e-6)
    assert np.allclose(back["opacity_logits"].sigmoid(), logits.sigmoid(), rtol=3e-6, atol=1e-7)
    assert bool(back["opacity_logits"].isfinite().all())
    low = logits < 0  # near 1 an opacity in float32 cannot tell logits apart; near 0 it can
    torch.testing.assert_close(back["opacity_logits"][low], logits[low], rtol=1e-6, atol=1e-6)


def test_large_splats_are_split_and_joined(tmp_path: Path) -> None:
    splats = asymmetric_scene.splats(1000)
    with SceneStore(tmp_path, buffer_limit=50_000).begin("splats", "key") as writer:
        writer.publish(Scene(nodes=(Node("splats", splats),)))
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) > 3 and all(file.stat().st_size < 55_000 for file in files)  # the limit plus headers
    loaded = SceneStore(tmp_path).load().splats
    assert loaded is not None and torch.equal(loaded["sh_coeffs"], splats["sh_coeffs"])


def test_empty_content(tmp_path: Path) -> None:
    with SceneStore(tmp_path).begin("poses", "key") as writer:
        writer.publish(Scene(nodes=(Node("points", Points(torch.zeros(0, 3), torch.zeros(0, 3))),)))
    loaded = SceneStore(tmp_path).load().points
    assert loaded is not None and loaded.positions.shape == (0, 3)


def test_a_later_stage_refers_to_earlier_data_without_copying(published: tuple[Scene, Path]) -> None:
    scene, out = published
    store = SceneStore(out)
    loaded = store.load()
    before = sorted(out.rglob("*.safetensors"))
    added = loaded.with_node(Node("more", asymmetric_scene.splats(3)))
    with store.begin("mesh", "other") as writer:
        (writer.path / "images").mkdir()
        (writer.path / "images" / "a.png").write_bytes(b"x")
        inside = replace(added.views[0].photo, path=writer.path / "images" / "a.png")  # type: ignore[type-var]
        moved = writer.publish(replace(added, views=(replace(added.views[0], photo=inside), *added.views[1:])))
    assert len(set(out.rglob("*.safetensors")) - set(before)) == 1
    photo = moved.views[0].photo
    assert photo is not None and photo.path.read_bytes() == b"x"
    again = SceneStore(out).load()
    assert again.views[0].photo == photo
    first = next(node.content for node in again.nodes if node.id == "splats")
    assert isinstance(first, Splats) and torch.equal(first["means"], scene.nodes[1].content["means"])  # type: ignore[index]
    assert [record.stage for record in again.provenance] == ["splats", "mesh"]
    assert store.find_stage("splats", "key") is not None and store.find_stage("splats", "another") is None


def test_pygltflib_reads_it(published: tuple[Scene, Path]) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    scene, out = published
    document = pygltflib.GLTF2().load(str(out / "scene.gltf"))
    node = next(node for node in document.nodes if node.name == "splats")
    primitive = document.meshes[node.mesh].primitives[0]
    assert primitive.extensions[KHR]["kernel"] == "ellipse" and not document.extensionsRequired

    attributes = json.loads((out / "scene.gltf").read_text())["meshes"][node.mesh]["primitives"][0]["attributes"]

    def read(name: str) -> np.ndarray:
        accessor = document.accessors[attributes[name]]
        view = document.bufferViews[accessor.bufferView]
        data = (out / document.buffers[view.buffer].uri).read_bytes()
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
        rows = [
            np.frombuffer(data, "<f4", width, view.byteOffset + i * (view.byteStride or 4 * width))
            for i in range(accessor.count)
        ]
        return np.stack(rows)

    splats = scene.splats
    assert splats is not None
    assert np.array_equal(read(f"{KHR}:SH_DEGREE_2_COEF_3"), splats["sh_coeffs"][:, 7])
    assert np.allclose(read(f"{KHR}:SCALE"), splats["log_scales"].exp(), rtol=1e-6)
    wxyz = torch.nn.functional.normalize(splats["quats"], dim=-1)
    assert np.allclose(read(f"{KHR}:ROTATION"), wxyz[:, [1, 2, 3, 0]], atol=1e-6)
    assert np.allclose(read(f"{KHR}:OPACITY")[:, 0], splats["opacity_logits"].sigmoid(), atol=1e-6)


def test_trimesh_reads_it(published: tuple[Scene, Path]) -> None:
    trimesh = pytest.importorskip("trimesh")
    scene, out = published
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # trimesh says that it drops attributes it does not know
        other = trimesh.load(out / "scene.gltf")
    placed = [
        other.geometry[name].copy().apply_transform(matrix)
        for matrix, name in map(other.graph.get, other.graph.nodes_geometry)
    ]
    mesh = next(one for one in placed if isinstance(one, trimesh.Trimesh))
    assert scene.mesh is not None and np.allclose(np.sort(mesh.vertices, 0), np.sort(scene.mesh.vertices, 0))
    clouds = [one for one in other.geometry.values() if isinstance(one, trimesh.PointCloud)]
    first, second = sorted((np.asarray(cloud.vertices) for cloud in clouds), key=len)
    assert scene.points is not None and scene.splats is not None
    assert np.allclose(first, scene.points.positions) and np.allclose(second, scene.splats["means"])


def test_cameras_of_other_readers_look_down_minus_z(published: tuple[Scene, Path]) -> None:
    scene, out = published
    nodes = {node["name"]: node for node in json.loads((out / "scene.gltf").read_text())["nodes"]}
    for view in scene.views:
        camera_to_world = torch.tensor(nodes[view.name]["matrix"], dtype=torch.float64).reshape(4, 4).T
        points = rigid.transform_points(camera_to_world, torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]]).double())
        seen = rigid.transform_points(view.world_to_camera, points)
        expected = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, -1, 0]]).double()
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-12)


def test_gltf_validator_accepts_it(published: tuple[Scene, Path]) -> None:
    _, out = published
    folder = ROOT / "build" / "npm"
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    if not (folder / "node_modules" / "gltf-validator").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "gltf-validator@2.0.0-dev.3.10"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"gltf-validator cannot be installed: {done.stderr[-200:]}")
    script = (
        "const fs=require('fs'),path=require('path'),v=require('gltf-validator');"
        "const root=process.argv[1];"
        "v.validateBytes(new Uint8Array(fs.readFileSync(path.join(root,'scene.gltf'))),{maxIssues:0,"
        "externalResourceFunction:u=>Promise.resolve(new Uint8Array(fs.readFileSync(path.join(root,u))))})"
        ".then(r=>console.log(JSON.stringify(r.issues.messages)))"
    )
    done = subprocess.run(["node", "-e", script, str(out)], cwd=folder, capture_output=True, text=True, check=True)
    # The validator knows no attribute with a colon in its name; nothing else may be wrong.
    faults = [
        issue for issue in json.loads(done.stdout)
        if issue["severity"] < 2
        and not (issue["code"] == "MESH_PRIMITIVE_INVALID_ATTRIBUTE" and f"/attributes/{KHR}:" in issue["pointer"])
    ]  # fmt: skip
    assert faults == []
