"""The asymmetric scene through every format, read back by us and by programs that share no code with us."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asymmetric_scene
import numpy as np
import pytest
import torch
from precision import EXACT, HALF_STEP, PRECISION, Precision, assert_same
from random_splats import random_family
from second_readers import (
    TOOLS,
    by_gsply,
    by_plyfile,
    by_pxr,
    by_pygltflib,
    by_splat_transform,
    by_us,
    node_tool,
    splat_transform,
)

from recon.cli.export import Name
from recon.errors import ReconError
from recon.geometry import quaternion, rigid
from recon.io.formats import FORMATS, format_of, read_splats
from recon.scene import Node, Scene, Splats
from recon.scene.edit import select
from recon.scene.families import FAMILIES

COUNT = 300


Reader = Callable[[Path], Splats]
READERS: dict[str, tuple[Reader, ...]] = {
    "ply": (by_us, by_plyfile, by_gsply, by_splat_transform),
    "glb": (by_us, by_pygltflib),
    "usd": (by_us, by_pxr),
    "splat": (by_us, by_splat_transform),
    "compressed-ply": (by_us, by_gsply, by_splat_transform),
    "spz": (by_us, by_gsply, by_splat_transform),
    "spz4": (by_us, by_gsply, by_splat_transform),
    "sog": (by_us, by_splat_transform),
}


def asymmetric(count: int = COUNT) -> Scene:
    return Scene(nodes=(Node("splats", asymmetric_scene.splats(count)),))


@pytest.mark.parametrize(("name", "reader"), [(name, one) for name, readers in READERS.items() for one in readers])
def test_what_we_write(tmp_path: Path, name: str, reader: Reader) -> None:
    path = tmp_path / FORMATS[name].file
    FORMATS[name].write(asymmetric(), path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name], "nothing is left beside the file"
    assert_same(reader(path), asymmetric_scene.splats(COUNT), PRECISION[name])


@pytest.mark.parametrize(("name", "options"), [
    ("splats.compressed.ply", ()), ("three.spz", ("--spz-version", "3")), ("four.spz", ()),
    ("splats.sog", ("-g", "cpu")), ("meta.json", ("-g", "cpu")),
])  # fmt: skip
def test_what_splat_transform_writes(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    FORMATS["ply"].write(asymmetric(), tmp_path / "in.ply")
    path = splat_transform(tmp_path / "in.ply", *options, to=tmp_path / name)
    # The two readers agree on what the bits mean; opacities of 0 and 255 have no logit, and each chooses one.
    assert_same(read_splats(path), by_splat_transform(path), Precision(4e-6, 1e-4, 4e-6, 1.1e-3, 4e-6))
    if path.suffix in (".ply", ".spz"):
        # It rounds down where we round to the nearest, and its SPZ has 12 fractional bits and fewer for harmonics.
        assert_same(read_splats(path), asymmetric_scene.splats(COUNT), Precision(4e-3, 0.3, 0.04, HALF_STEP, 0.4))


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize("sh_degree", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 257])
def test_every_degree_and_odd_numbers_of_splats(tmp_path: Path, name: str, sh_degree: int, count: int) -> None:
    splats = random_family("gaussian", count, sh_degree)
    path = tmp_path / FORMATS[name].file
    FORMATS[name].write(Scene(nodes=(Node("s", splats),)), path)
    back = read_splats(path)
    assert len(back) == count and back.sh_degree == (0 if name == "splat" else sh_degree)
    assert format_of(path) in (name, name.removesuffix("4"))


def test_a_second_conversion_changes_nothing(tmp_path: Path) -> None:
    """What was rounded once is on the grid."""
    path = tmp_path / "a.spz"
    FORMATS["spz"].write(asymmetric(), path)
    once = read_splats(path)
    FORMATS["spz"].write(Scene(nodes=(Node("s", once),)), path)
    twice = read_splats(path)
    for name, value in once.params.items():
        if name != "quats":  # which may come back with the other sign
            torch.testing.assert_close(twice[name], value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_other_families_are_written_or_refused(tmp_path: Path, family: str) -> None:
    splats = random_family(family, 20)
    scene = Scene(nodes=(Node("s", splats),))
    for name in ("ply", "glb"):
        path = tmp_path / FORMATS[name].file
        FORMATS[name].write(scene, path)
        back = read_splats(path)
        assert back.family == family and back.params.keys() == splats.params.keys()
        for key, value in splats.params.items():
            torch.testing.assert_close(back[key], value, atol=2e-5, rtol=2e-5)
    for name in ("splat", "spz", "sog", "compressed-ply"):
        path = tmp_path / FORMATS[name].file
        if family in ("triangle", "convex"):
            with pytest.raises(ReconError, match=f"holds Gaussians only: found splats of the family '{family}'"):
                FORMATS[name].write(scene, path)
        else:
            FORMATS[name].write(scene, path)
            assert len(read_splats(path)) == 20


def test_a_glb_holds_splats_mesh_and_cameras_and_no_paths_of_this_machine(tmp_path: Path) -> None:
    pygltflib, trimesh = pytest.importorskip("pygltflib"), pytest.importorskip("trimesh")
    scene = asymmetric_scene.scene(tmp_path / "here")
    path = tmp_path / "a.glb"
    FORMATS["glb"].write(scene, path)
    document = pygltflib.GLTF2().load(str(path))
    assert len(document.cameras) == 3 and "KHR_gaussian_splatting" in document.extensionsUsed
    assert str(tmp_path).encode() not in path.read_bytes()
    primitive = next(p for m in document.meshes for p in m.primitives if p.extensions)
    assert primitive.mode == 0
    accessor = document.accessors[json.loads(primitive.attributes.to_json())["POSITION"]]
    view = document.bufferViews[accessor.bufferView]
    data = np.frombuffer(document.binary_blob(), np.float32, accessor.count * 3, view.byteOffset)
    np.testing.assert_array_equal(data.reshape(-1, 3), scene.splats["means"].numpy())  # type: ignore[index]
    loaded = trimesh.load(path, process=False)
    meshes = [one for one in loaded.geometry.values() if isinstance(one, trimesh.Trimesh)]
    assert len(meshes) == 1 and len(meshes[0].faces) == 2
    assert np.asarray(meshes[0].visual.material.baseColorTexture).shape[:2] == (4, 6)


def test_the_validator_of_khronos_accepts_the_glb(tmp_path: Path) -> None:
    node_tool("splat-transform")  # skips without Node
    path = tmp_path / "a.glb"
    FORMATS["glb"].write(asymmetric_scene.scene(tmp_path), path)
    program = (
        "const v = require('gltf-validator'), fs = require('fs');"
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])), {maxIssues: 0})"
        ".then(r => console.log(JSON.stringify(r.issues.messages)));"
    )
    done = subprocess.run(
        ["node", "-e", program, str(path)], cwd=TOOLS.parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # The validator does not know the extension and takes its attributes for misspelt ones.
    errors = [
        one for one in json.loads(done.stdout)
        if one["severity"] == 0
        and not (one["code"] == "MESH_PRIMITIVE_INVALID_ATTRIBUTE" and "KHR_gaussian_splatting:" in one["pointer"])
    ]  # fmt: skip
    assert not errors


def test_usd_as_its_own_library_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="pip install usd-core")
    from pxr import Gf, Usd, UsdGeom, UsdVol

    scene = asymmetric_scene.scene(tmp_path)
    path = tmp_path / "a.usda"
    FORMATS["usd"].write(scene, path)
    stage = Usd.Stage.Open(str(path))
    splats = scene.splats
    assert splats is not None and scene.mesh is not None
    field = UsdVol.ParticleField3DGaussianSplat.Get(stage, "/scene/splats")
    quat = field.GetOrientationsAttr().Get()[3]
    wanted = quaternion.normalize(splats["quats"][3].double())
    assert [quat.GetReal(), *quat.GetImaginary()] == pytest.approx(wanted.tolist(), abs=1e-6)
    coefficients = field.GetRadianceSphericalHarmonicsCoefficientsAttr()
    assert coefficients.GetMetadata("elementSize") == 16
    assert list(coefficients.Get()[16 * 3 + 5]) == pytest.approx(splats["sh_coeffs"][3, 5].tolist())
    low, high = field.GetExtentAttr().Get()
    assert all(a < b < c for a, b, c in zip(low, splats["means"][0].tolist(), high, strict=True))
    assert len(UsdGeom.Mesh.Get(stage, "/scene/mesh").GetFaceVertexCountsAttr().Get()) == 2
    # A point lands on the pixel where our own camera sees it.
    camera = UsdGeom.Camera.Get(stage, "/scene/cameras/view_0000").GetCamera(0)
    view, point = scene.views[0], torch.tensor([3.1, -6.9, 11.2], dtype=torch.float64)
    clip = Gf.Matrix4d(camera.frustum.ComputeViewMatrix() * camera.frustum.ComputeProjectionMatrix())
    x, y, _ = clip.Transform(Gf.Vec3d(*point.tolist()))
    seen = rigid.transform_points(view.world_to_camera, point[None])[0]
    pixel = (view.camera.K @ seen)[:2] / seen[2]
    assert (x + 1) / 2 * view.camera.width == pytest.approx(float(pixel[0]), abs=1e-3)
    assert (1 - y) / 2 * view.camera.height == pytest.approx(float(pixel[1]), abs=1e-3)
    path.write_text(path.read_text()[:2000])
    with pytest.raises(ReconError, match=r"a\.usda: not a whole USD"):
        read_splats(path)


def test_usd_holds_opaque_triangles_as_a_mesh(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="pip install usd-core")
    from pxr import Usd, UsdGeom

    splats = random_family("triangle", 20)
    opaque = splats["opacity_logits"] > 0
    path = tmp_path / "a.usdc"
    FORMATS["usd"].write(Scene(nodes=(Node("s", splats),)), path)
    stage = Usd.Stage.Open(str(path))
    mesh = UsdGeom.Mesh.Get(stage, "/scene/triangles")
    corners = np.asarray(mesh.GetPointsAttr().Get())
    assert 0 < int(opaque.sum()) < 20
    np.testing.assert_array_equal(corners, splats["vertices"][opaque].reshape(-1, 3).numpy())
    assert len(mesh.GetDisplayColorPrimvar().Get()) == len(corners)
    with pytest.raises(ReconError, match="USD holds Gaussians only: found splats of the family 'convex'"):
        FORMATS["usd"].write(Scene(nodes=(Node("s", random_family("convex", 20)),)), path)


def test_what_gsplat_exports(tmp_path: Path) -> None:
    """gsplat's own exporter, in the forms that we read."""
    exporter = pytest.importorskip("gsplat.exporter")
    splats = asymmetric_scene.splats(COUNT)
    splats = select(splats, splats["opacity_logits"] > -5)  # its compressed form leaves out what is not seen
    given = {
        "means": splats["means"], "scales": splats["log_scales"], "quats": splats["quats"],
        "opacities": splats["opacity_logits"], "sh0": splats["sh_coeffs"][:, :1], "shN": splats["sh_coeffs"][:, 1:],
    }  # fmt: skip
    # It rounds down where we round to the nearest.
    rough = {"rotation": 2.0, "opacity": 1 / 255, "color": 0.05}
    precisions = {"ply": EXACT, "splat": replace(PRECISION["splat"], **rough),
                  "ply_compressed": replace(PRECISION["compressed-ply"], **rough)}  # fmt: skip
    for name, precision in precisions.items():
        path = tmp_path / (f"{name}.ply" if name != "splat" else "a.splat")
        exporter.export_splats(**given, format=name, save_to=str(path))
        assert_same(read_splats(path), splats, precision)


def test_the_command_line_knows_all_formats() -> None:
    assert set(Name.__args__) == set(FORMATS)
