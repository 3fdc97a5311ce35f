"""GLB: splats (KHR_gaussian_splatting), meshes and cameras in one file; and splats out of any glTF.

The document is the one of `recon.scene.gltf`, with its buffers and images in the binary chunk. Read are glTF and GLB
files of any program: Gaussians with the extension, ours or compressed as SPZ inside, below any nodes.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch

from recon.errors import ReconError
from recon.io.checks import brief
from recon.io.formats import spz
from recon.io.formats.format import Format, damaged, file_size, rows
from recon.scene import Scene, Splats
from recon.scene.atomic import atomic_path
from recon.scene.document import EXTENSION
from recon.scene.families import FAMILIES
from recon.scene.families.gaussian import KHR
from recon.scene.gltf import Placement, encode, place_content
from recon.scene.nodes import Mesh, Node
from recon.scene.transform import Similarity, transform_splats

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_LIMIT = 2**32 - 1
_LONGEST_DOCUMENT = 1 << 28
_SPZ = ("KHR_gaussian_splatting_compression_spz_2", "KHR_gaussian_splatting_compression_spz")
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def write(scene: Scene, path: Path) -> None:
    """Splats of any family, meshes and cameras. Photos and the points that the splats started from stay behind."""
    nodes = [node for node in scene.nodes if isinstance(node.content, Splats | Mesh) or node.content is None]
    if not any(node.content is not None for node in nodes):
        raise ReconError("the scene has neither splats nor a mesh", fix="run `recon run` on its scene.yaml first")
    views = tuple(replace(view, photo=None) for view in scene.views)
    kept = {node.id for node in nodes} | {view.name for view in views}
    relations = tuple(one for one in scene.relations if one.subject in kept and one.object in kept)
    shown = replace(scene, nodes=tuple(nodes), views=views, relations=relations, provenance=())
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=path.parent) as name:
        folder = Path(name)

        def placed(node: Node) -> Placement:
            assert node.content is not None
            return place_content(node.content, folder, "data", f"node{nodes.index(node)}", _LIMIT)

        document = encode(shown, folder, placed)
        _pack(document, folder, path)


def _pack(document: dict[str, Any], folder: Path, path: Path) -> None:
    """Put the files that the document names into the binary chunk."""
    starts: list[int] = []
    files: list[Path] = []
    size = 0

    def add(uri: str) -> int:
        nonlocal size
        file = folder / Path(uri).name
        starts.append(size)
        files.append(file)
        size += -(-file.stat().st_size // 8) * 8
        return starts[-1]

    buffers = [add(buffer["uri"]) for buffer in document.get("buffers", [])]
    for view in document.get("bufferViews", []):
        view["byteOffset"] = view.get("byteOffset", 0) + buffers[view["buffer"]]
        view["buffer"] = 0
    for image in document.get("images", []):
        file = folder / Path(image.pop("uri")).name
        view = {"buffer": 0, "byteOffset": add(file.name), "byteLength": file.stat().st_size}
        document.setdefault("bufferViews", []).append(view)
        image |= {"bufferView": len(document["bufferViews"]) - 1, "mimeType": "image/png"}
    if files:
        document["buffers"] = [{"byteLength": size}]
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + (8 + size if files else 0)
    if total > _LIMIT:
        raise ReconError(f"{path}: more than GLB can hold", found=f"{total} bytes", wanted=f"at most {_LIMIT}",
                         fix="export with --crop or a lower --sh-degree")  # fmt: skip
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        out.write(struct.pack("<III", _MAGIC, 2, total) + struct.pack("<II", len(text), _JSON) + text)
        if files:
            out.write(struct.pack("<II", size, _BIN))
        for file in files:
            with file.open("rb") as source:
                while piece := source.read(1 << 20):
                    out.write(piece)
            out.write(bytes(-file.stat().st_size % 8))


def read(path: Path) -> Splats:
    """All splats of the document in its world coordinates. They must be of one family."""
    document = _Document(path)
    found = list(document.splats())
    if not found:
        raise ReconError(f"{path}: no splats in it", wanted=f"a mesh with {KHR}")
    families = sorted({splats.family for splats in found})
    degree = min(splats.sh_degree for splats in found)
    if len(families) > 1:
        raise ReconError(f"{path}: splats of several families", found=", ".join(families), wanted="one")
    if len(found) == 1:
        return found[0]
    keep = (degree + 1) ** 2
    pieces = [dict(splats.params) for splats in found]
    found.clear()  # so that each parameter is there twice only while it is put together
    params = {}
    for name in tuple(pieces[0]):
        parts = [piece.pop(name) for piece in pieces]
        params[name] = torch.cat([part[:, :keep] for part in parts] if name == "sh_coeffs" else parts)
    return Splats(families[0], params)


class _Document:
    """A glTF with access to its data that checks every index and size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = file_size(path)
        self.binary: tuple[int, int] | None = None
        self.inline: tuple[str, bytes] | None = None
        with path.open("rb") as file:
            head = file.read(20)
            if head[:4] == b"glTF":
                text = self._glb(file.read, head)
            else:
                if self.size > _LONGEST_DOCUMENT:
                    raise damaged(path, "glTF", f"a document of {self.size} bytes")
                text = head + file.read()
        try:
            self.json = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(path, "glTF", str(error)[:80]) from None
        if not isinstance(self.json, dict):
            raise damaged(path, "glTF", brief(self.json), "an object")

    def _glb(self, read: Any, head: bytes) -> bytes:
        if len(head) < 20:
            raise damaged(self.path, "GLB", f"{len(head)} bytes")
        _, version, total, length, kind = struct.unpack("<IIIII", head)
        if version != 2 or kind != _JSON:
            raise damaged(self.path, "GLB", f"version {version}, first chunk {kind:#x}", "version 2 and JSON")
        if total > self.size or 20 + length > self.size or length > _LONGEST_DOCUMENT:
            raise damaged(self.path, "GLB", f"{self.size} bytes", max(total, 20 + length))
        text: bytes = read(length)
        chunk = read(8)
        if len(chunk) == 8:
            size, kind = struct.unpack("<II", chunk)
            if kind == _BIN:
                if 28 + length + size > self.size:
                    raise damaged(self.path, "GLB", f"{self.size} bytes", 28 + length + size)
                self.binary = (28 + length, size)
        return text

    def item(self, kind: str, index: object) -> Mapping[str, Any]:
        """One of glTF's flat lists."""
        found = self.json.get(kind)
        if not isinstance(found, list) or not isinstance(index, int) or not 0 <= index < len(found):
            raise damaged(self.path, "glTF", f"{kind}[{brief(index)}]")
        if not isinstance(found[index], dict):
            raise damaged(self.path, "glTF", f"{kind}[{index}]: {brief(found[index])}", "an object")
        one: Mapping[str, Any] = found[index]
        return one

    def whole(self, data: Mapping[str, Any], name: str, default: int | None = None, most: int = 2**40) -> int:
        """A whole number of at least 0."""
        value = data.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise damaged(self.path, "glTF", f"{name}: {brief(value)}", "a whole number")
        return value

    def splats(self) -> Iterator[Splats]:
        """What every node that shows splats holds, in world coordinates."""
        for node, matrix in self._nodes():
            if "mesh" not in node:
                continue
            own = _dict(_dict(node.get("extensions")).get(EXTENSION))
            primitives = self.item("meshes", node["mesh"]).get("primitives")
            for primitive in primitives if isinstance(primitives, list) else []:
                splats = self._primitive(_dict(primitive), own)
                if splats is not None:
                    if not torch.equal(matrix, torch.eye(4, dtype=torch.float64)):
                        moved = Similarity.of(matrix, f"{self.path}: the matrix of a node")
                        splats = transform_splats(splats, moved, in_place=True)
                    yield splats

    def _nodes(self) -> Iterator[tuple[Mapping[str, Any], torch.Tensor]]:
        """Nodes of the scene with their world matrices; all of them when the document has no scene."""
        nodes = self.json.get("nodes") or []
        if not isinstance(nodes, list):
            raise damaged(self.path, "glTF", f"nodes: {brief(nodes)}", "a list")
        if self.json.get("scenes"):
            roots = self.item("scenes", self.json.get("scene", 0)).get("nodes") or []
        else:
            below = {child for node in nodes for child in (_dict(node).get("children") or [])}
            roots = [index for index in range(len(nodes)) if index not in below]
        todo = [(index, torch.eye(4, dtype=torch.float64)) for index in roots]
        seen: set[int] = set()
        while todo:
            index, above = todo.pop()
            node = self.item("nodes", index)
            if index in seen:
                raise damaged(self.path, "glTF", f"node {index} twice in the tree")
            seen.add(index)
            matrix = above @ self._matrix(node)
            children = node.get("children") or []
            if not isinstance(children, list):
                raise damaged(self.path, "glTF", f"children: {brief(children)}", "a list")
            todo += [(child, matrix) for child in children]
            yield node, matrix

    def _matrix(self, node: Mapping[str, Any]) -> torch.Tensor:
        def numbers(name: str, default: list[float]) -> torch.Tensor:
            value = node.get(name, default)
            if not isinstance(value, list) or len(value) != len(default) or not all(_number(one) for one in value):
                raise damaged(self.path, "glTF", f"{name}: {brief(value)}", f"{len(default)} numbers")
            return torch.tensor([float(one) for one in value], dtype=torch.float64)

        if "matrix" in node:
            return numbers("matrix", [0.0] * 16).reshape(4, 4).T
        from recon.geometry import quaternion

        x, y, z, w = numbers("rotation", [0.0, 0.0, 0.0, 1.0])
        result = torch.eye(4, dtype=torch.float64)
        turn = quaternion.to_matrix(torch.stack([w, x, y, z]))
        result[:3, :3] = turn * numbers("scale", [1.0, 1.0, 1.0])
        result[:3, 3] = numbers("translation", [0.0, 0.0, 0.0])
        return result

    def _primitive(self, primitive: Mapping[str, Any], own: Mapping[str, Any]) -> Splats | None:
        """The splats of a primitive, None when it shows something else."""
        khr = _dict(_dict(primitive.get("extensions")).get(KHR))
        family = own.get("family") if own.get("content") == "splats" else "gaussian" if khr else None
        if family is None:
            return None
        if family not in FAMILIES:
            raise ReconError(f"{self.path}: splats of the family {brief(family)}", wanted=", ".join(FAMILIES))
        space = khr.get("colorSpace", "srgb_rec709_display")
        if khr.get("kernel", "ellipse") != "ellipse" or space != "srgb_rec709_display":
            raise ReconError(
                f"{self.path}: Gaussians of another kind", found=f"kernel {khr.get('kernel')}, colours in {space}",
                wanted="kernel ellipse, colours in srgb_rec709_display",
            )  # fmt: skip
        for name in _SPZ:
            packed = _dict(_dict(khr.get("extensions")).get(name))
            if packed:
                return self._spz(packed)
        arrays = _Attributes(self, _dict(primitive.get("attributes")))
        if len({self.whole(self.item("accessors", index), "count") for index in arrays.indices.values()}) > 1:
            raise damaged(self.path, "glTF", "attributes of different length")
        try:
            return FAMILIES[family].from_arrays(arrays)
        except KeyError as error:
            raise damaged(self.path, "glTF", f"no attribute {error}") from None

    def _spz(self, packed: Mapping[str, Any]) -> Splats:
        view = self.item("bufferViews", packed.get("bufferView"))
        with tempfile.NamedTemporaryFile(suffix=".spz") as file:
            file.write(bytes(self._bytes(view, self.whole(view, "byteLength"))))
            file.flush()
            return spz.read(Path(file.name))

    def accessor(self, name: str, index: object) -> np.ndarray:
        """[N] or [N, C] float32; whole numbers that are normalised become fractions."""
        accessor = self.item("accessors", index)
        kind, shape = accessor.get("componentType"), accessor.get("type")
        if kind not in _COMPONENTS or shape not in _WIDTHS or "sparse" in accessor:
            raise damaged(self.path, "glTF", f"{name} as {brief(shape)} of {brief(kind)}")
        layout, width = np.dtype(_COMPONENTS[kind]), _WIDTHS[shape]
        count = self.whole(accessor, "count")
        view = self.item("bufferViews", accessor.get("bufferView"))
        row = layout.itemsize * width
        stride = self.whole(view, "byteStride", row, 252)
        offset = self.whole(accessor, "byteOffset", 0)
        length = self.whole(view, "byteLength")
        wanted = offset + (stride * (count - 1) + row if count else 0)
        if wanted > length or stride < row:
            raise damaged(self.path, "glTF", f"{name}: {length} bytes", wanted)
        self._bytes(view, wanted)  # is there, before room is made for what it becomes
        result = np.empty((count, width), np.float32)
        for piece in rows(count):
            some = piece.stop - piece.start
            data = self._bytes(view, stride * (some - 1) + row, offset + stride * piece.start)
            strided = np.lib.stride_tricks.as_strided(np.frombuffer(data, np.uint8), (some, row), (stride, 1))
            values = np.array(strided, order="C").view(layout).reshape(some, width)
            if layout.kind != "f" and accessor.get("normalized"):
                values = np.maximum(values / np.float32(np.iinfo(layout).max), -1)
            result[piece] = values
        return result if width > 1 else result[:, 0]

    def _bytes(self, view: Mapping[str, Any], length: int, start: int = 0) -> bytes | np.ndarray:
        """Bytes of a buffer view. What is mapped counts as memory in use, so large views are read in pieces."""
        offset = self.whole(view, "byteOffset", 0) + start
        buffer = self.item("buffers", view.get("buffer"))
        uri = buffer.get("uri")
        if uri is None:
            if self.binary is None or view.get("buffer") != 0 or offset + length > self.binary[1]:
                raise damaged(self.path, "glTF", f"a view of {length} bytes at {offset} beyond the binary chunk")
            return self._mapped(self.path, self.binary[0] + offset, length)
        if not isinstance(uri, str):
            raise damaged(self.path, "glTF", f"a buffer's uri: {brief(uri)}")
        if uri.startswith("data:"):
            data = self._decoded(uri)
            if offset + length > len(data):
                raise damaged(self.path, "glTF", f"{len(data)} bytes in text", offset + length)
            return data[offset : offset + length]
        file = self._beside(uri)
        if offset + length > file_size(file):
            raise damaged(self.path, "glTF", f"{file_size(file)} bytes in {file.name}", offset + length)
        return self._mapped(file, offset, length)

    def _decoded(self, uri: str) -> bytes:
        """What a data URI holds. Only the last one is kept: accessors of a buffer come one after the other."""
        if self.inline is None or self.inline[0] is not uri:
            try:
                self.inline = (uri, base64.b64decode(uri.partition(",")[2], validate=True))
            except (ValueError, binascii.Error) as error:
                raise damaged(self.path, "glTF", f"a buffer in text: {error}") from None
        return self.inline[1]

    def _beside(self, uri: str) -> Path:
        """A file in the document's folder or below; anything else is refused, whatever the path looks like."""
        folder = self.path.parent.resolve()
        name = unquote(uri)
        try:
            file = (folder / name).resolve()
        except (OSError, ValueError):
            file = Path("/")
        if "://" in name or not file.is_relative_to(folder):
            raise ReconError(
                f"{self.path}: a file outside of its folder", found=brief(uri),
                wanted="a name in the folder of the glTF", fix="copy the file there and mend the uri",
            )  # fmt: skip
        return file

    @staticmethod
    def _mapped(path: Path, offset: int, length: int) -> np.ndarray:
        return np.memmap(path, np.uint8, "r", offset, (length,)) if length else np.zeros(0, np.uint8)


class _Attributes(Mapping[str, np.ndarray]):
    """Attributes of a primitive, each read when it is asked for."""

    def __init__(self, document: _Document, indices: Mapping[str, Any]) -> None:
        self.document, self.indices = document, indices

    def __getitem__(self, name: str) -> np.ndarray:
        return self.document.accessor(name, self.indices[name])

    def __contains__(self, name: object) -> bool:
        return name in self.indices

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _is_gltf(path: Path, head: bytes) -> bool:
    return head.startswith(b"glTF") or path.suffix.lower() == ".gltf"


FORMAT = Format("scene.glb", "splats of any family, meshes and cameras in one file", write, read, _is_gltf)
