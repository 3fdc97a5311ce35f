"""The typed form of what `scene.gltf` must hold for us, checked on load; the JSON schema is generated from it.

glTF's own properties are checked as far as we read them; the vendor extension `RECON_scene` is checked whole, and an
unknown key in it is an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recon.errors import ReconError

EXTENSION = "RECON_scene"
Matrix = Annotated[list[float], Field(min_length=16, max_length=16)]


class _Ours(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class _Gltf(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)


class PhotoEntry(_Ours):
    """A view's picture; URIs are relative to the document, or absolute paths."""

    uri: str
    mask: str | None = None


class DistortionEntry(_Ours):
    """Lens model of `recon.geometry.camera.Distortion`."""

    model: Literal["none", "opencv", "fisheye"]
    params: Annotated[list[float], Field(max_length=8)]

    @model_validator(mode="after")
    def _counted(self) -> DistortionEntry:
        if self.model == "fisheye" and len(self.params) != 4:
            raise ValueError("fisheye needs 4 parameters")
        return self


class ViewEntry(_Ours):
    """All that a glTF camera cannot say, and the pose without rounding."""

    name: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    K: Annotated[list[float], Field(min_length=9, max_length=9)]
    distortion: DistortionEntry
    world_to_camera: Matrix
    split: Literal["train", "test"]
    photo: PhotoEntry | None = None


class NodeEntry(_Ours):
    """Identity of a node, or part `part` of it where one node's data needed several buffers."""

    id: str
    kind: Literal["scene", "region", "object", "view"]
    content: Literal["points", "splats", "mesh", "group", "view"]
    family: str | None = None
    view: ViewEntry | None = None


class RelationEntry(_Ours):
    """A statement about two nodes that is no tree edge."""

    subject: str
    predicate: str
    object: str


class StageEntry(_Ours):
    """Where part of the content came from."""

    stage: str
    folder: str
    key: str
    info: dict[str, Any]


class SceneEntry(_Ours):
    """The extension at the root of the document."""

    version: Literal[1]
    metric: bool
    source_from_world: Matrix
    relations: list[RelationEntry]
    provenance: list[StageEntry]


class RootExtensions(_Gltf):
    """Extensions of the document."""

    RECON_scene: SceneEntry


class NodeExtensions(_Gltf):
    """Extensions of a node; foreign nodes need not have ours."""

    RECON_scene: NodeEntry | None = None


class GltfAsset(_Gltf):
    """What kind of file this is."""

    version: Literal["2.0"]


class GltfNode(_Gltf):
    """A node of the tree."""

    matrix: Matrix | None = None
    children: list[int] = []
    mesh: int | None = None
    camera: int | None = None
    extensions: NodeExtensions = NodeExtensions()


class GltfPrimitive(_Gltf):
    """One drawable piece."""

    attributes: dict[str, int]
    indices: int | None = None
    material: int | None = None


class GltfMesh(_Gltf):
    """Drawable pieces of a node: several when a buffer had to be split."""

    primitives: Annotated[list[GltfPrimitive], Field(min_length=1)]


class GltfAccessor(_Gltf):
    """A typed view of a buffer view."""

    bufferView: Annotated[int, Field(ge=0)]
    byteOffset: Annotated[int, Field(ge=0)] = 0
    componentType: Literal[5121, 5123, 5125, 5126]
    count: Annotated[int, Field(ge=0)]
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4"]


class GltfBufferView(_Gltf):
    """A span of a buffer."""

    buffer: Annotated[int, Field(ge=0)]
    byteOffset: Annotated[int, Field(ge=0)] = 0
    byteLength: Annotated[int, Field(ge=1)]
    byteStride: Annotated[int, Field(ge=4, le=252)] | None = None


class GltfBuffer(_Gltf):
    """A .safetensors file."""

    uri: str
    byteLength: Annotated[int, Field(ge=1)]


class GltfDocument(_Gltf):
    """The whole document."""

    asset: GltfAsset
    extensions: RootExtensions
    nodes: list[GltfNode] = []
    meshes: list[GltfMesh] = []
    accessors: list[GltfAccessor] = []
    bufferViews: list[GltfBufferView] = []
    buffers: list[GltfBuffer] = []
    materials: list[dict[str, Any]] = []
    textures: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []


SCHEMA = Path(__file__).with_name("schema") / "RECON_scene.schema.json"


def schema_text() -> str:
    """The JSON schema of the two forms of the extension, as it is checked in at `SCHEMA`."""
    root, node = SceneEntry.model_json_schema(), NodeEntry.model_json_schema()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": EXTENSION,
        "description": "glTF 2.0 vendor extension of recon: `document` at the root, `node` on nodes.",
        "$defs": {**root.pop("$defs", {}), **node.pop("$defs", {}), "document": root, "node": node},
        "anyOf": [{"$ref": "#/$defs/document"}, {"$ref": "#/$defs/node"}],
    }
    return json.dumps(schema, indent=1) + "\n"


def parse(text: str, path: Path) -> GltfDocument:
    """Check a document. ReconError with the file and the JSON path of the first fault."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ReconError(f"{path}: not JSON", found=error, fix=_FIX) from None
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("extensions"), dict)
        or EXTENSION not in data["extensions"]
    ):
        raise ReconError(f"{path}: no scene of recon", found=f"no {EXTENSION} extension", fix=_FIX)
    try:
        return GltfDocument.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/" + "/".join(str(part) for part in first["loc"])
        raise ReconError(
            f"{path}: {place}: {first['msg'].lower()}", found=repr(first["input"])[:80], fix=_FIX
        ) from None


_FIX = "restore the file or make the scene again with `recon run --force`"
