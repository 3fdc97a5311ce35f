"""A scene as a glTF 2.0 document whose buffers are safetensors files, and back. See docs/scene-format.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.errors import ReconError
from recon.geometry import rigid
from recon.geometry.camera import Camera, Distortion
from recon.scene.buffers import FLOAT, UINT32, Span, read_span, write_tensors
from recon.scene.content import from_arrays, parts, stored, width_of
from recon.scene.document import EXTENSION, GltfDocument, GltfPrimitive, NodeEntry, ViewEntry
from recon.scene.families import FAMILIES
from recon.scene.nodes import Mesh, Node, Photo, Points, Relation, Splats, View
from recon.scene.scene import Scene, StageRecord

POINTS, TRIANGLES = 0, 4
# OpenCV camera axes to glTF's: y and z change sign.
_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


@dataclass(frozen=True)
class Placement:
    """Where the data of one node lies."""

    parts: tuple[Mapping[str, Span], ...]
    """Spans by glTF attribute name; more than one when a file would have been too large."""
    texture: str | None = None
    """Image file, relative to the document."""


def place_content(content: Points | Splats | Mesh, folder: Path, uri: str, name: str, limit: int) -> Placement:
    """Write a node's data into `folder`, whose URI will be `uri`, in files of at most about `limit` bytes."""
    placed = []
    pieces = parts(content, limit)
    for index, piece in enumerate(pieces):
        file = f"{name}.safetensors" if len(pieces) == 1 else f"{name}-{index}.safetensors"
        found = stored(piece)
        spans = write_tensors(folder / file, f"{uri}/{file}", found.layouts, found.pieces)
        if isinstance(content, Splats):
            attribute = FAMILIES[content.family].attribute
            spans = {attribute(key): span for key, span in spans.items()}
        placed.append(spans)
    texture = None
    if isinstance(content, Mesh) and content.texture is not None:
        from PIL import Image

        Image.fromarray(content.texture).save(folder / f"{name}.png")
        texture = f"{uri}/{name}.png"
    return Placement(tuple(placed), texture)


def encode(scene: Scene, root: Path, placed: Callable[[Node], Placement]) -> dict[str, Any]:
    """The document as JSON values. `placed` says where the data of a node with content lies."""
    from recon import __version__

    builder = _Builder()
    index_of: dict[str, int] = {}
    for node in scene.nodes:
        index_of[node.id] = len(builder.nodes)
        builder.nodes.append(builder.content_node(node, placed(node) if node.content is not None else None))
    for node in scene.nodes:
        if node.parent is not None:
            builder.nodes[index_of[node.parent]].setdefault("children", []).append(index_of[node.id])
    roots = [index_of[node.id] for node in scene.nodes if node.parent is None]
    for view in scene.views:
        roots.append(len(builder.nodes))
        builder.nodes.append(builder.view_node(view, root))
    own = {
        "version": 1,
        "metric": scene.metric,
        "source_from_world": scene.source_from_world.double().reshape(-1).tolist(),
        "relations": [vars(relation) for relation in scene.relations],
        "provenance": [vars(record) | {"info": dict(record.info)} for record in scene.provenance],
    }
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"recon {__version__}"},
        "extensionsUsed": sorted({EXTENSION, *builder.extensions}),
        "scene": 0,
        "scenes": [{"nodes": roots} if roots else {"name": "empty"}],
    }
    for name in (
        "nodes",
        "cameras",
        "meshes",
        "materials",
        "textures",
        "images",
        "accessors",
        "bufferViews",
        "buffers",
    ):
        if getattr(builder, name):
            document[name] = getattr(builder, name)
    document["extensions"] = {EXTENSION: own}
    return document


class _Builder:
    """Collects glTF's flat lists."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.cameras: list[dict[str, Any]] = []
        self.meshes: list[dict[str, Any]] = []
        self.materials: list[dict[str, Any]] = []
        self.textures: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.bufferViews: list[dict[str, Any]] = []
        self.buffers: list[dict[str, Any]] = []
        self.extensions: set[str] = set()

    def content_node(self, node: Node, placement: Placement | None) -> dict[str, Any]:
        """A node of the tree with its mesh."""
        kind = {Points: "points", Splats: "splats", Mesh: "mesh", type(None): "group"}[type(node.content)]
        entry: dict[str, Any] = {"id": node.id, "kind": node.kind, "content": kind}
        json_node: dict[str, Any] = {"name": node.id}
        if not torch.equal(node.parent_from_node, torch.eye(4, dtype=torch.float64)):
            json_node["matrix"] = node.parent_from_node.double().T.reshape(-1).tolist()
        if placement is not None:
            faces = kind == "mesh" or (isinstance(node.content, Splats) and FAMILIES[node.content.family].rows == 3)
            shared: dict[str, Any] = {"mode": TRIANGLES if faces else POINTS}
            if isinstance(node.content, Splats):
                entry["family"] = node.content.family
                extensions = dict(FAMILIES[node.content.family].extensions)
                self.extensions |= set(extensions)
                if extensions:
                    shared["extensions"] = extensions
            if faces:
                shared["material"] = self._material(placement.texture)
            primitives = []
            for part in placement.parts:
                attributes = {name: self._accessor(span, False) for name, span in part.items() if name != "indices"}
                primitive = {"attributes": attributes, **shared}
                if "indices" in part:
                    primitive["indices"] = self._accessor(part["indices"], True)
                primitives.append(primitive)
            json_node["mesh"] = len(self.meshes)
            self.meshes.append({"name": node.id, "primitives": primitives})
        json_node["extensions"] = {EXTENSION: entry}
        return json_node

    def view_node(self, view: View, root: Path) -> dict[str, Any]:
        """A camera node: glTF's own camera for other readers, the exact one in our extension."""
        camera, K = view.camera, view.camera.K
        self.cameras.append(
            {
                "type": "perspective",
                "perspective": {
                    "yfov": 2 * float(torch.atan(camera.height / (2 * K[1, 1]))),
                    "aspectRatio": camera.width / camera.height * float(K[1, 1] / K[0, 0]),
                    "znear": 0.01,
                },
            }
        )
        photo = None
        if view.photo is not None:
            photo = {"uri": _uri(view.photo.path, root)}
            if view.photo.mask is not None:
                photo["mask"] = _uri(view.photo.mask, root)
        entry: dict[str, Any] = {
            "name": view.name,
            "width": camera.width,
            "height": camera.height,
            "K": K.double().reshape(-1).tolist(),
            "distortion": {"model": camera.distortion.model, "params": list(camera.distortion.params)},
            "world_to_camera": view.world_to_camera.double().reshape(-1).tolist(),
            "split": view.split,
        }
        if photo is not None:
            entry["photo"] = photo
        pose = rigid.inverse(view.world_to_camera.double()) @ _FLIP
        return {
            "name": view.name,
            "camera": len(self.cameras) - 1,
            "matrix": pose.T.reshape(-1).tolist(),
            "extensions": {EXTENSION: {"id": f"view:{view.name}", "kind": "view", "content": "view", "view": entry}},
        }

    def _accessor(self, span: Span, indices: bool) -> int:
        buffer = next((i for i, one in enumerate(self.buffers) if one["uri"] == span.uri), len(self.buffers))
        if buffer == len(self.buffers):
            self.buffers.append({"uri": span.uri, "byteLength": span.file_bytes})
        view = {
            "buffer": buffer,
            "byteOffset": span.offset,
            "byteLength": span.length,
            "target": 34963 if indices else 34962,
        }
        if span.stride is not None:
            view["byteStride"] = span.stride
        accessor = {
            "bufferView": len(self.bufferViews),
            "componentType": span.component,
            "count": span.count,
            "type": span.kind,
        }
        if span.low is not None and span.high is not None:
            accessor |= {"min": list(span.low), "max": list(span.high)}
        self.bufferViews.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _material(self, texture: str | None) -> int:
        material: dict[str, Any] = {
            "doubleSided": True,
            "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
        }
        if texture is not None:
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": len(self.textures)}
            self.textures.append({"source": len(self.images)})
            self.images.append({"uri": texture})
        self.materials.append(material)
        return len(self.materials) - 1


def decode(document: GltfDocument, root: Path) -> tuple[Scene, dict[str, Placement]]:
    """The scene, and where the data of every node lies by node id. ReconError names file and JSON path."""
    views: list[View] = []
    nodes: list[Node] = []
    placements: dict[str, Placement] = {}
    id_of: dict[int, str] = {}
    for index, node in enumerate(document.nodes):
        entry = node.extensions.RECON_scene
        if entry is None:
            continue
        if entry.view is not None:
            views.append(_view(entry.view, root))
            continue
        id_of[index] = entry.id
        matrix = torch.eye(4, dtype=torch.float64)
        if node.matrix is not None:
            matrix = torch.tensor(node.matrix, dtype=torch.float64).reshape(4, 4).T.contiguous()
        content = None
        if entry.content != "group":
            content, placements[entry.id] = _content(document, root, index, node.mesh, entry)
        kind = entry.kind if entry.kind != "view" else "object"
        nodes.append(Node(entry.id, content, kind, None, matrix))
    parents: dict[str, str] = {}
    for index, node in enumerate(document.nodes):
        for child in node.children:
            if index not in id_of or child not in id_of:
                raise _fault(root, f"/nodes/{index}/children: no node of ours", child)
            if id_of[child] in parents:
                raise _fault(root, f"/nodes/{index}/children: {id_of[child]!r} has another parent", child)
            parents[id_of[child]] = id_of[index]
    for start, above in parents.items():
        passed = {start}
        while above not in passed and above in parents:
            passed.add(above)
            above = parents[above]
        if above in passed:
            raise _fault(root, f"/nodes: {above!r} hangs under itself", "a cycle of children")
    nodes = [replace(node, parent=parents.get(node.id)) for node in nodes]
    own = document.extensions.RECON_scene
    try:
        scene = Scene(
            views=tuple(views),
            nodes=tuple(nodes),
            relations=tuple(Relation(one.subject, one.predicate, one.object) for one in own.relations),
            metric=own.metric,
            source_from_world=torch.tensor(own.source_from_world, dtype=torch.float64).reshape(4, 4),
            provenance=tuple(StageRecord(one.stage, one.folder, one.key, one.info) for one in own.provenance),
        )
    except ValueError as error:
        raise _fault(root, "/nodes", error) from None
    return scene, placements


def _view(entry: ViewEntry, root: Path) -> View:
    camera = Camera(
        entry.width,
        entry.height,
        torch.tensor(entry.K, dtype=torch.float64).reshape(3, 3),
        Distortion(entry.distortion.model, tuple(entry.distortion.params)),
    )
    photo = None
    if entry.photo is not None:
        photo = Photo(root / entry.photo.uri, root / entry.photo.mask if entry.photo.mask is not None else None)
    pose = torch.tensor(entry.world_to_camera, dtype=torch.float64).reshape(4, 4)
    return View(entry.name, camera, pose, photo, entry.split)


def _content(
    document: GltfDocument, root: Path, index: int, mesh: int | None, entry: NodeEntry
) -> tuple[Points | Splats | Mesh, Placement]:
    place = f"/nodes/{index}/mesh"
    if mesh is None or not 0 <= mesh < len(document.meshes):
        raise _fault(root, place, mesh)
    if entry.family is not None and entry.family not in FAMILIES:
        raise _fault(
            root, f"/nodes/{index}/extensions/{EXTENSION}/family: known are {', '.join(FAMILIES)}", entry.family
        )
    parts, pieces, texture = [], [], None
    for number, primitive in enumerate(document.meshes[mesh].primitives):
        here = f"/meshes/{mesh}/primitives/{number}"
        spans = _spans(document, root, primitive, here)
        pieces.append({name: read_span(root, span, f"{here}/{name}") for name, span in spans.items()})
        parts.append(spans)
        texture = texture or _texture(document, root, primitive, here)
    names = set(pieces[0])
    if any(set(piece) != names for piece in pieces):
        raise _fault(root, f"/meshes/{mesh}/primitives: all need the same attributes", sorted(names))
    arrays = (
        pieces[0] if len(pieces) == 1 else {name: np.concatenate([piece[name] for piece in pieces]) for name in names}
    )
    rows = {len(array) for name, array in arrays.items() if name != "indices"}
    if len(rows) != 1:
        raise _fault(root, f"/meshes/{mesh}: attributes of different length", sorted(rows))
    indices = arrays.get("indices", np.zeros(0, np.uint32))
    if len(indices) % 3 or (len(indices) and indices.max() >= max(rows)):
        found = f"{len(indices)} up to {indices.max()}"
        raise _fault(root, f"/meshes/{mesh}: indices of triangles between {max(rows)} vertices", found)
    try:
        content = from_arrays(entry.content, entry.family, arrays)
    except KeyError as error:
        raise _fault(root, f"/meshes/{mesh}: attribute {error} is missing", sorted(names)) from None
    if isinstance(content, Mesh) and texture is not None:
        from PIL import Image

        try:
            with Image.open(root / texture) as image:
                content = replace(content, texture=np.asarray(image.convert("RGB")))
        except OSError as error:
            raise _fault(root, f"/images: {texture} cannot be read", error) from None
    return content, Placement(tuple(parts), texture)


def _spans(document: GltfDocument, root: Path, primitive: GltfPrimitive, here: str) -> dict[str, Span]:
    accessors = dict(primitive.attributes)
    if primitive.indices is not None:
        accessors["indices"] = primitive.indices
    spans = {}
    for name, number in accessors.items():
        if not 0 <= number < len(document.accessors):
            raise _fault(root, f"{here}/attributes/{name}", f"accessor {number} of {len(document.accessors)}")
        accessor = document.accessors[number]
        if not accessor.bufferView < len(document.bufferViews):
            raise _fault(root, f"/accessors/{number}/bufferView", accessor.bufferView)
        view = document.bufferViews[accessor.bufferView]
        if not view.buffer < len(document.buffers):
            raise _fault(root, f"/bufferViews/{accessor.bufferView}/buffer", view.buffer)
        buffer = document.buffers[view.buffer]
        extra = accessor.model_extra or {}
        low, high = (tuple(extra[key]) if key in extra else None for key in ("min", "max"))
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
        component = UINT32 if name == "indices" else FLOAT
        if accessor.componentType != component or width_of(name) not in (0, width):
            found = f"{accessor.type} of component type {accessor.componentType}"
            raise _fault(root, f"/accessors/{number}: cannot be {name}", found)
        spans[name] = Span(
            buffer.uri, buffer.byteLength, view.byteOffset + accessor.byteOffset, accessor.count, width,
            accessor.componentType, view.byteStride, low, high,
        )  # fmt: skip
    return spans


def _texture(document: GltfDocument, root: Path, primitive: GltfPrimitive, here: str) -> str | None:
    if primitive.material is None:
        return None
    try:
        material = document.materials[primitive.material]
        reference = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
        if reference is None:
            return None
        uri: str = document.images[document.textures[reference["index"]]["source"]]["uri"]
    except (LookupError, TypeError, AttributeError):
        raise _fault(root, f"{here}/material", primitive.material) from None
    return uri


def _uri(path: Path, root: Path) -> str:
    """Relative to the document inside the output folder, absolute outside."""
    absolute = path.absolute()
    base = root.absolute()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()


def _fault(root: Path, place: str, found: object) -> ReconError:
    return ReconError(
        f"{root / 'scene.gltf'}: {place}",
        found=found,
        fix="restore the file or make the scene again with `recon run --force`",
    )
