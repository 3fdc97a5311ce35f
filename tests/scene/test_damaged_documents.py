"""A damaged scene is one message that names the file and the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asymmetric_scene
import pytest

from recon.errors import ReconError
from recon.scene.document import EXTENSION, SCHEMA, schema_text
from recon.scene.store import SceneStore

KHR = "KHR_gaussian_splatting"
Change = Callable[[dict[str, Any], Path], object]


def _view(document: dict[str, Any]) -> dict[str, Any]:
    node = next(node for node in document["nodes"] if node["name"] == "a.png")
    view: dict[str, Any] = node["extensions"][EXTENSION]["view"]
    return view


def _own(document: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = document["extensions"][EXTENSION]
    return own


def _accessor(document: dict[str, Any], name: str) -> dict[str, Any]:
    meshes = document["meshes"]
    (number,) = [p["attributes"][name] for m in meshes for p in m["primitives"] if name in p["attributes"]]
    accessor: dict[str, Any] = document["accessors"][number]
    return accessor


def _mesh_primitive(document: dict[str, Any]) -> dict[str, Any]:
    primitive: dict[str, Any] = next(m for m in document["meshes"] if m["name"] == "vase/1")["primitives"][0]
    return primitive


def _file(out: Path, name: str) -> Path:
    return next(out.rglob(name))


CASES: dict[str, tuple[Change, str]] = {
    "no asset": (lambda d, _: d.pop("asset"), "/asset"),
    "glTF 1": (lambda d, _: d["asset"].update(version="1.0"), "/asset/version"),
    "foreign document": (lambda d, _: d["extensions"].pop(EXTENSION), EXTENSION),
    "future version": (lambda d, _: _own(d).update(version=2), f"/extensions/{EXTENSION}/version"),
    "unknown key": (lambda d, _: _own(d).update(up="y"), f"/extensions/{EXTENSION}/up"),
    "short matrix": (lambda d, _: _own(d).update(source_from_world=[1.0] * 15), "source_from_world"),
    "NaN pose": (lambda d, _: _view(d)["world_to_camera"].__setitem__(3, float("nan")), "world_to_camera/3"),
    "word for a number": (lambda d, _: _view(d)["K"].__setitem__(0, "wide"), "view/K/0"),
    "no width": (lambda d, _: _view(d).update(width=0), "view/width"),
    "unknown lens": (lambda d, _: _view(d)["distortion"].update(model="brown"), "view/distortion/model"),
    "unknown split": (lambda d, _: _view(d).update(split="both"), "view/split"),
    "node id twice": (
        lambda d, _: d["nodes"][0]["extensions"][EXTENSION].update(id="splats"),
        "/nodes: found node id 'splats'",
    ),
    "unknown family": (
        lambda d, _: d["nodes"][1]["extensions"][EXTENSION].update(family="blobs"),
        "/nodes/1/.*family.*gaussian",
    ),
    "mesh out of range": (lambda d, _: d["nodes"][1].update(mesh=9), "/nodes/1/mesh"),
    "child out of range": (lambda d, _: d["nodes"][2].update(children=[99]), "/nodes/2/children"),
    "child of two": (lambda d, _: d["nodes"][0].update(children=[3]), "/nodes/2/children: 'vase/1' has another parent"),
    "tree with a cycle": (
        lambda d, _: d["nodes"][3].update(children=[2]),
        "/nodes: '(room|vase/1)' hangs under itself",
    ),
    "fisheye of three": (
        lambda d, _: _view(d)["distortion"].update(model="fisheye", params=[0.1, 0.2, 0.3]),
        "view/distortion: .*fisheye needs 4",
    ),
    "harmonic missing": (
        lambda d, _: d["meshes"][1]["primitives"][0]["attributes"].pop(f"{KHR}:SH_DEGREE_2_COEF_3"),
        "/meshes/1: .*SH_DEGREE_2_COEF_3",
    ),
    "accessor out of range": (
        lambda d, _: _mesh_primitive(d)["attributes"].update(POSITION=999),
        "/meshes/2/primitives/0/attributes/POSITION",
    ),
    "buffer view out of range": (lambda d, _: d["accessors"][0].update(bufferView=999), "/accessors/0/bufferView"),
    "buffer out of range": (lambda d, _: d["bufferViews"][0].update(buffer=7), "/bufferViews/0/buffer"),
    "rotation of three": (lambda d, _: _accessor(d, f"{KHR}:ROTATION").update(type="VEC3"), "ROTATION"),
    "shorts": (lambda d, _: _accessor(d, f"{KHR}:SCALE").update(componentType=5123), "/accessors/.*SCALE"),
    "rows that differ": (lambda d, _: _accessor(d, f"{KHR}:OPACITY").update(count=3), "/meshes/1: .*length"),
    "beyond the file": (lambda d, _: _accessor(d, f"{KHR}:OPACITY").update(count=10**6), "wrong size"),
    "attribute missing": (
        lambda d, _: d["meshes"][1]["primitives"][0]["attributes"].pop(f"{KHR}:SCALE"),
        "/meshes/1: .*SCALE",
    ),
    "half a triangle": (
        lambda d, _: d["accessors"][_mesh_primitive(d)["indices"]].update(count=5),
        "/meshes/2: indices of triangles",
    ),
    "material missing": (lambda d, _: d.pop("materials"), "/meshes/2/primitives/0/material"),
    "tensor file missing": (lambda _, out: _file(out, "splats.safetensors").unlink(), "splats.safetensors.*No such"),
    "tensor file cut": (lambda _, out: _cut(_file(out, "splats.safetensors")), "splats.safetensors.*wrong size"),
    "texture missing": (lambda _, out: _file(out, "vase_1.png").unlink(), "/images: .*vase_1.png"),
}


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("name", CASES)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    change, place = CASES[name]
    path = _published(tmp_path)
    document = json.loads(path.read_text())
    change(document, tmp_path)
    path.write_text(json.dumps(document))
    with pytest.raises(ReconError, match=f"(?s){path}.*{place}") as caught:
        SceneStore(tmp_path).load()
    assert caught.value.fix
    _published(tmp_path)  # damage does not stand in the way of making the scene again
    assert len(SceneStore(tmp_path).load().views) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '"glTF"', "{}", "\x00\x01"])
def test_text_that_is_no_document(tmp_path: Path, text: str) -> None:
    (tmp_path / "scene.gltf").write_text(text)
    with pytest.raises(ReconError, match=r"scene\.gltf"):
        SceneStore(tmp_path).load()


def test_no_scene_yet(tmp_path: Path) -> None:
    assert not SceneStore(tmp_path).exists()
    with pytest.raises(ReconError, match=r"no scene here.*recon run"):
        SceneStore(tmp_path).load()


def test_the_schema_is_the_one_of_the_models_and_the_document_obeys_it(tmp_path: Path) -> None:
    assert SCHEMA.read_text() == schema_text(), "write schema_text() to recon/scene/schema again"
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(_published(tmp_path).read_text())
    schema = json.loads(SCHEMA.read_text())
    parts = {"document": [_own(document)], "node": [node["extensions"][EXTENSION] for node in document["nodes"]]}
    for definition, values in parts.items():
        validator = jsonschema.Draft202012Validator({**schema, "anyOf": [{"$ref": f"#/$defs/{definition}"}]})
        for value in values:
            validator.validate(value)
            assert not validator.is_valid({**value, "unknown": 1})


def _published(root: Path) -> Path:
    with SceneStore(root).begin("splats", "key") as writer:
        writer.publish(asymmetric_scene.scene(root / "photos"))
    return root / "scene.gltf"
