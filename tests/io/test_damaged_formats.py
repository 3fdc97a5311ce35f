"""Damaged and hostile files of splats: one clear message, at once, and no memory for what is only claimed."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asymmetric_scene
import numpy as np
import pytest
import zstandard
from memory import forget_peak, peak_mb
from PIL import Image

from recon.errors import ReconError
from recon.io.formats import FORMATS, read_splats
from recon.scene import Node, Scene

COUNT = 40
MEMORY_MB = 150
Edit = Callable[[Path], Path]


def written(folder: Path, name: str) -> Path:
    path = folder / FORMATS[name].file
    FORMATS[name].write(Scene(nodes=(Node("s", asymmetric_scene.splats(COUNT)),)), path)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def swapped(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def patched(path: Path, offset: int, new: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(new)] = new
    path.write_bytes(data)
    return path


def spz_header(path: Path, **change: int) -> Path:
    """Another header in an SPZ of version 3."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    places = {"version": ("<I", 4), "count": ("<I", 8), "degree": ("B", 12), "bits": ("B", 13)}
    for name, value in change.items():
        layout, offset = places[name]
        struct.pack_into(layout, data, offset, value)
    path.write_bytes(gzip.compress(bytes(data)))
    return path


def spz_bomb(path: Path) -> Path:
    """Two kilobytes that unpack to 640 MB of splats."""
    header = struct.pack("<4sIIBBBB", b"NGSP", 3, 10_000_000, 3, 12, 0, 0)
    path.write_bytes(gzip.compress(header + bytes(2_000_000)))
    return path


def zstd_bomb(path: Path) -> Path:
    """Streams of zeros, each as long as its count wants it."""
    count = 20_000_000
    streams = [zstandard.compress(bytes(width * 1000)) for width in (9, 1, 3, 3, 4)]
    table = b"".join(struct.pack("<QQ", len(s), w * count) for s, w in zip(streams, (9, 1, 3, 3, 4), strict=True))
    header = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, count, 0, 12, 0, 5, 32)
    path.write_bytes(header + table + b"".join(streams))
    return path


def sog_with(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """A SOG whose meta.json and images were changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(files["meta.json"])
    change(meta, files)
    files["meta.json"] = json.dumps(meta).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def set_meta(*keys: str, to: object) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(meta: dict[str, Any], files: dict[str, bytes]) -> None:
        place = meta
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


def huge_picture(meta: dict[str, Any], files: dict[str, bytes]) -> None:
    """A WebP of 268 million pixels of one colour in a few kilobytes, and a count to match."""
    buffer = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(buffer, "WEBP", lossless=True)
    files["means_l.webp"] = buffer.getvalue()
    meta["count"] = 64_000_000


def zip_bomb(path: Path) -> Path:
    return sog_with(path, lambda meta, files: files.update({"padding.bin": bytes(60_000_000)}))


def lying_zip(path: Path) -> Path:
    """The directory says that meta.json is short; the stream is not."""
    sog_with(path, lambda meta, files: meta.update(padding="x" * 500_000))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"meta.json"))
    struct.pack_into("<I", data, at + 24, 100)
    path.write_bytes(data)
    return path


def glb_json(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    path.write_bytes(
        struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest
    )
    return path


def set_uri(uri: str) -> Callable[[Path], Path]:
    return lambda path: glb_json(path, lambda document: document["buffers"][0].update(uri=uri))


def set_in(kind: str, **values: Any) -> Callable[[Path], Path]:
    return lambda path: glb_json(path, lambda document: [one.update(values) for one in document[kind]] and None)


def nan_at(path: Path, column: str) -> Path:
    """A number of the third splat of a PLY."""
    data = path.read_bytes()
    start = data.index(b"end_header\n") + 11
    names = re.findall(rb"property float (\w+)", data)
    offset = start + (2 * len(names) + names.index(column.encode())) * 4
    return patched(path, offset, struct.pack("<f", float("nan")))


def long_header(path: Path) -> Path:
    return swapped(path, b"end_header", b"comment " + b"x" * 3_000_000 + b"\nend_header")


CASES: list[tuple[str, str, Edit, str]] = [
    ("ply", "truncated", lambda p: cut(p, 0.6), "of 40 vertices"),
    ("ply", "cut in the header", lambda p: cut(p, 0.01), "no PLY header"),
    ("ply", "empty", lambda p: cut(p, 0), "not splats in a known format"),
    ("ply", "count too high", lambda p: swapped(p, b"vertex 40", b"vertex 4000000000"), "of 4000000000 vertices"),
    ("ply", "count of many digits", lambda p: swapped(p, b"vertex 40", b"vertex " + b"9" * 400), "the header line"),
    ("ply", "header without end", long_header, "no PLY header"),
    ("ply", "NaN", lambda p: nan_at(p, "scale_1"), "1 of 40"),
    ("ply", "unknown type", lambda p: swapped(p, b"float opacity", b"floot opacity"), "the header line"),
    ("ply", "property twice", lambda p: swapped(p, b"scale_2", b"scale_1"), "one twice"),
    ("ply", "a coefficient missing", lambda p: swapped(p, b"f_rest_44", b"g_rest_44"), "f_rest"),
    ("compressed-ply", "truncated", lambda p: cut(p, 0.8), "rows of sh"),
    ("compressed-ply", "too few chunks", lambda p: swapped(p, b"chunk 1", b"chunk 0"), "0 chunks of 256 for 40"),
    ("compressed-ply", "infinite bounds", lambda p: patched(p, p.read_bytes().index(b"end_header\n") + 11,
                                                             struct.pack("<f", float("inf"))), "not finite"),
    ("splat", "odd length", lambda p: cut(p, 0.99), "a multiple of 32"),
    ("splat", "NaN", lambda p: patched(p, 12, struct.pack("<f", float("nan"))), "not a number"),
    ("spz", "truncated", lambda p: cut(p, 0.7), "of 40"),
    ("spz", "no gzip", lambda p: patched(p, 10, b"\xff" * 20), "not a whole SPZ"),
    ("spz", "count too high", lambda p: spz_header(p, count=4_000_000_000), "claim to unpack"),
    ("spz", "unknown version", lambda p: spz_header(p, version=9), "found 9, wanted 2, 3 or 4"),
    ("spz", "degree 200", lambda p: spz_header(p, degree=200), "degree 200"),
    ("spz", "gzip bomb", spz_bomb, "claim to unpack"),
    ("spz4", "truncated", lambda p: cut(p, 0.7), "not a whole SPZ"),
    ("spz4", "table beyond the end", lambda p: patched(p, 16, struct.pack("<I", 2**31)), "a table of streams"),
    ("spz4", "sizes that do not fit", lambda p: patched(p, 40, struct.pack("<Q", 2**60)), "bytes of positions"),
    ("spz4", "zstandard bomb", zstd_bomb, "claim to unpack"),
    ("sog", "truncated", lambda p: cut(p, 0.7), "not a whole SOG"),
    ("sog", "zip bomb", zip_bomb, "claim to unpack"),
    ("sog", "zip that lies", lying_zip, "not a whole SOG"),
    ("sog", "picture bomb", lambda p: sog_with(p, huge_picture), "claim to unpack"),
    ("sog", "path in a name", lambda p: sog_with(p, set_meta("means", "files", to=["../../a", "b"])),
     "a name without folders"),
    ("sog", "absolute path", lambda p: sog_with(p, set_meta("sh0", "files", to=["/etc/passwd"])),
     "a name without folders"),
    ("sog", "count too high", lambda p: sog_with(p, set_meta("count", to=10**8)), "pixels for 100000000 splats"),
    ("sog", "no codebook", lambda p: sog_with(p, set_meta("scales", "codebook", to=[1.0])), "256 numbers"),
    ("sog", "range without end", lambda p: sog_with(p, set_meta("means", "maxs", to=[1e9, 1, 1])), "not finite"),
    ("glb", "truncated", lambda p: cut(p, 0.5), "not a whole GLB"),
    ("glb", "long document", lambda p: patched(p, 12, struct.pack("<I", 2**32 - 4)), "not a whole GLB"),
    ("glb", "not JSON", lambda p: patched(p, 20, b"{[}"), "not a whole glTF"),
    ("glb", "nested without end", lambda p: patched(cut(p, 0), 0, struct.pack("<IIIII", 0x46546C67, 2, 100_020, 100_000,
                                                                             0x4E4F534A) + b"[" * 100_000), "glTF"),
    ("glb", "file outside", set_uri("../../../etc/passwd"), "outside of its folder"),
    ("glb", "encoded path", set_uri("%2e%2e/%2e%2e/etc/passwd"), "outside of its folder"),
    ("glb", "absolute path", set_uri("/etc/passwd"), "outside of its folder"),
    ("glb", "address", set_uri("https://example.com/a.bin"), "outside of its folder"),
    ("glb", "count too high", set_in("accessors", count=10**9), "bytes"),
    ("glb", "offset beyond the end", set_in("bufferViews", byteOffset=2**39), "beyond the binary chunk"),
    ("glb", "node below itself", set_in("nodes", children=[0]), "twice in the tree"),
    ("glb", "sheared node", set_in("nodes", matrix=[1, 0, 0, 0, 0.5, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
     "no similarity"),
    ("usd", "truncated", lambda p: cut(p, 0.6), "not a whole USD"),
    ("usd", "cut in the header", lambda p: cut(p, 0.001), "too small"),
    ("usd", "no table of contents", lambda p: patched(p, 16, struct.pack("<Q", 2**50)), "not a whole USD"),
    ("usd", "another type", lambda p: swapped(p, b"ParticleField3DGaussianSplat", b"ParticleField3DGaussianSplit"),
     "no splats in it"),
    ("glb", "index of a text", set_in("accessors", bufferView="x"), "bufferViews"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "what", "damage", "message"), CASES, ids=[f"{c[0]}, {c[1]}" for c in CASES])
def test_a_clear_message_at_once(tmp_path: Path, name: str, what: str, damage: Edit, message: str) -> None:
    if name == "usd":
        pytest.importorskip("pxr", reason="pip install usd-core")
    path = damage(written(tmp_path, name))
    read_back = FORMATS[name.removesuffix("4")].read
    assert read_back is not None
    forget_peak()
    before = peak_mb()
    begin = time.process_time()  # what it costs, however busy the machine is
    with pytest.raises(ReconError, match=re.escape(message)) as caught:
        read_splats(path)
    assert time.process_time() - begin < 1
    assert peak_mb() - before < MEMORY_MB
    assert path.name in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["ply", "compressed-ply", "splat", "spz", "spz4", "sog", "glb", "usd"])
def test_no_single_byte_makes_it_fail_otherwise(tmp_path: Path, name: str) -> None:
    if name == "usd":
        pytest.importorskip("pxr", reason="pip install usd-core")
    path = written(tmp_path, name)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(broken[: len(data) if rng.random() < 0.7 else rng.integers(len(data))])
        try:
            assert len(read_splats(path)) <= COUNT + 1
        except ReconError as error:
            assert path.name in str(error)


def test_broken_splats_are_left_out_when_asked(tmp_path: Path) -> None:
    path = nan_at(written(tmp_path, "ply"), "f_rest_7")
    assert len(read_splats(path, drop_broken=True)) == COUNT - 1


def test_usd_as_text_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes many times its size."""
    pytest.importorskip("pxr", reason="pip install usd-core")
    path = tmp_path / "scene.usda"
    FORMATS["usd"].write(Scene(nodes=(Node("s", asymmetric_scene.splats(COUNT)),)), path)
    assert len(read_splats(path)) == COUNT
    monkeypatch.setattr("recon.io.formats.usd._LONGEST_TEXT", path.stat().st_size - 1)
    with pytest.raises(ReconError, match=r"usdcat scene\.usda -o scene\.usdc"):
        read_splats(path)
