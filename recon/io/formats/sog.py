"""SOG version 2 (PlayCanvas): the columns of the splats as lossless WebP images in a zip file, or in a folder.

Source: the format's description in the PlayCanvas developer site. Positions have 16 bits on a logarithmic scale,
rotations the three smaller components in 8 bits, scales and colours a codebook of 256 numbers, harmonics a palette of
64 to a row.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.io.checks import brief
from recon.io.formats.codebook import codebook, nearest_entry, palette
from recon.io.formats.format import (
    Format,
    array,
    as_splats,
    damaged,
    empty_gaussians,
    file_size,
    gaussians_of,
    refuse_bomb,
    rows,
)
from recon.io.formats.quantize import (
    from_smallest_three,
    morton_order,
    opacity_bytes,
    opacity_logits,
    smallest_three,
    unit,
)
from recon.scene import Scene, Splats
from recon.scene.atomic import atomic_path

_MOST_ENTRIES, _FEWEST_ENTRIES = 1 << 16, 1 << 12
_SPLATS_PER_ENTRY = 16
_ROW_OF_PALETTE = 64
_LARGEST_META = 1 << 20
_DROPPED = 252
"""The alpha of a rotation is this plus the number of the component that was dropped."""


def write(scene: Scene, path: Path) -> None:
    """A zip file with everything in it."""
    splats = gaussians_of(scene, "SOG")
    count = len(splats)
    if count == 0:
        raise ReconError("SOG needs at least one splat", found="none")
    means = array(splats, "means")
    order = morton_order(means)
    side = 4 * math.ceil(math.sqrt(count) / 4)
    shape = (4 * math.ceil(count / side / 4), side)

    images: dict[str, bytes] = {}

    def put(name: str, columns: list[np.ndarray]) -> None:
        images[name] = _webp(_filled(columns, shape))

    logs = np.sign(means[order]) * np.log1p(np.abs(means[order].astype(np.float64)))
    low, high = logs.min(0), logs.max(0)
    fixed = np.rint((logs - low) / np.where(high > low, high - low, 1) * 65535).astype(np.uint16)
    put("means_l.webp", list((fixed & 255).astype(np.uint8).T))
    put("means_u.webp", list((fixed >> 8).astype(np.uint8).T))
    largest, others = smallest_three(unit(array(splats, "quats")[order]))
    turned = np.rint((others * 0.5**0.5 + 0.5) * 255).astype(np.uint8)
    put("quats.webp", [*turned.T, (_DROPPED + largest).astype(np.uint8)])
    scales = array(splats, "log_scales")[order]
    sizes = codebook(scales)
    put("scales.webp", list(nearest_entry(scales, sizes).T))
    colors = array(splats, "sh_coeffs")[order, 0]
    shades = codebook(colors)
    opacities = opacity_bytes(array(splats, "opacity_logits")[order])
    put("sh0.webp", [*nearest_entry(colors, shades).T, opacities])
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "recon"},
        "count": count,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": sizes.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": shades.tolist(), "files": ["sh0.webp"]},
    }
    if splats.sh_degree:
        # By channel, as in the PLY.
        rest = array(splats, "sh_coeffs")[order, 1:].transpose(0, 2, 1)
        entries, labels = palette(rest.reshape(count, -1), _entries(count))
        levels = codebook(entries)
        texels = nearest_entry(entries, levels).reshape(len(entries), 3, -1).transpose(0, 2, 1)
        height = math.ceil(len(entries) / _ROW_OF_PALETTE)
        picture = np.zeros((height * _ROW_OF_PALETTE, texels.shape[1], 4), np.uint8)
        picture[..., 3] = 255
        picture[: len(entries), :, :3] = texels
        images["shN_centroids.webp"] = _webp(picture.reshape(height, -1, 4))
        put("shN_labels.webp", [(labels & 255).astype(np.uint8), (labels >> 8).astype(np.uint8)])
        files = ["shN_centroids.webp", "shN_labels.webp"]
        meta["shN"] = {"count": len(entries), "bands": splats.sh_degree, "codebook": levels.tolist(), "files": files}
    # The images are compressed already.
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in images.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        archive.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta))


def _entries(count: int) -> int:
    """Size of the palette: a power of two for some splats each, all of them in small scenes. More takes minutes."""
    if count <= _FEWEST_ENTRIES:
        return count
    return min(max(1 << int(math.log2(count / _SPLATS_PER_ENTRY)), _FEWEST_ENTRIES), _MOST_ENTRIES)


def _filled(columns: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """[H, W, 4] uint8 of up to four columns [N]."""
    picture = np.zeros((shape[0] * shape[1], 4), np.uint8)
    picture[:, 3] = 255
    for channel, column in enumerate(columns):
        picture[: len(column), channel] = column
    return picture.reshape(*shape, 4)


def _webp(picture: np.ndarray) -> bytes:
    from PIL import Image

    if max(picture.shape) > 16383:
        raise ReconError("SOG holds images of at most 16383 pixels", found=picture.shape[:2], fix="crop the scene")
    buffer = io.BytesIO()
    # `exact` keeps the colours below alpha 0, which are data here.
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, exact=True, quality=75, method=4)
    return buffer.getvalue()


# zipfile says NotImplementedError of compressions that it does not know, and RuntimeError of encrypted entries.
_UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError)


def read(path: Path) -> Splats:
    """A .sog file, or the meta.json of a folder with the images beside it."""
    size = file_size(path)
    if path.suffix.lower() == ".json":
        if size > _LARGEST_META:
            raise damaged(path, "SOG", f"a meta.json of {size} bytes")

        def from_folder(name: str) -> bytes:
            try:
                return (path.parent / name).read_bytes()
            except OSError as error:
                raise damaged(path, "SOG", f"{name}: {error.strerror}") from None

        return _decode(path, path.read_bytes(), from_folder)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {one.filename: one for one in archive.infolist()}
            refuse_bomb(path, "SOG", size, sum(one.file_size for one in entries.values()))

            def from_zip(name: str) -> bytes:
                if name not in entries:
                    raise damaged(path, "SOG", f"no {name} in it")
                with archive.open(name) as file:
                    # No more than the directory announces, whatever the stream unpacks to.
                    return file.read(entries[name].file_size)

            return _decode(path, from_zip("meta.json"), from_zip)
    except _UNREADABLE as error:
        raise damaged(path, "SOG", error) from None


def _decode(path: Path, text: bytes, load: Callable[[str], bytes]) -> Splats:
    meta = _Meta(path, _json(path, text))
    if meta.data.get("version") != 2:
        found = brief(meta.data.get("version", "none"))
        raise ReconError(
            f"{path}: SOG of a version that is not read", found=found, wanted=2, fix="convert it with splat-transform"
        )
    count = meta.whole("", "count", 1, 1 << 28)
    images = {
        name: _Image(path, file, load(file))
        for name, number in (("means", 2), ("quats", 1), ("scales", 1), ("sh0", 1))
        for file in meta.files(name, number)
        for name in [f"{name}/{file}"]
    }
    low, upper, quats, scales, colors = images.values()
    degree = meta.whole("shN", "bands", 0, 3) if meta.data.get("shN") else 0
    labels = centroids = None
    if degree:
        centroids, labels = (_Image(path, file, load(file)) for file in meta.files("shN", 2))
    for image in (low, upper, quats, scales, colors, *([labels] if labels else [])):
        image.holds(count)
    arrays = empty_gaussians(count, degree)
    least, span = meta.numbers("means", "mins", 3), meta.numbers("means", "maxs", 3) - meta.numbers("means", "mins", 3)
    fixed_low, fixed_high = low.texels(count), upper.texels(count)
    for piece in rows(count):
        fixed = fixed_low[piece, :3] + fixed_high[piece, :3].astype(np.float64) * 256
        logs = least + fixed / 65535 * span
        with np.errstate(over="ignore"):  # a damaged range: what is not finite is refused by the caller
            arrays["means"][piece] = np.sign(logs) * np.expm1(np.abs(logs))
    del fixed_low, fixed_high
    turned = quats.texels(count)
    if (turned[:, 3] < _DROPPED).any():
        raise damaged(path, "SOG", "a rotation without its largest component")
    for piece in rows(count):
        others = (turned[piece, :3] / 255 - 0.5) * 2**0.5
        arrays["quats"][piece] = from_smallest_three(turned[piece, 3].astype(np.int64) - _DROPPED, others)
    del turned
    sizes, levels = meta.numbers("scales", "codebook", 256), scales.texels(count)
    for piece in rows(count):
        arrays["log_scales"][piece] = sizes[levels[piece, :3]]
    del levels
    shades, levels = meta.numbers("sh0", "codebook", 256), colors.texels(count)
    for piece in rows(count):
        arrays["sh_coeffs"][piece, 0] = shades[levels[piece, :3]]
        arrays["opacity_logits"][piece] = opacity_logits(levels[piece, 3])
    del levels
    if centroids is not None and labels is not None:
        _decode_rest(meta, arrays["sh_coeffs"], centroids, labels)
    return as_splats(arrays)


def _decode_rest(meta: _Meta, harmonics: np.ndarray, centroids: _Image, labels: _Image) -> None:
    """Fill [N, 1:, 3] from the palette."""
    count, per_channel = len(harmonics), harmonics.shape[1] - 1
    size = meta.whole("shN", "count", 1, _MOST_ENTRIES)
    if centroids.width != _ROW_OF_PALETTE * per_channel:
        raise damaged(
            meta.path, "SOG", f"a palette {centroids.width} wide", f"{_ROW_OF_PALETTE * per_channel} for its bands"
        )
    # Some writers announce the size that they asked for, though fewer entries were needed.
    size = min(size, centroids.height * _ROW_OF_PALETTE)
    table = meta.numbers("shN", "codebook", 256)[centroids.texels(size * per_channel)[:, :3]]
    entries = table.reshape(size, per_channel, 3)
    texels = labels.texels(count)
    for piece in rows(count):
        numbers = texels[piece, 0] + texels[piece, 1].astype(np.int64) * 256
        if numbers.max() >= size:
            raise damaged(meta.path, "SOG", f"entry {numbers.max()} of a palette of {size}")
        harmonics[piece, 1:] = entries[numbers]


class _Meta:
    """meta.json with checked access."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self.path, self.data = path, data

    def section(self, name: str) -> Mapping[str, Any]:
        """A section, or the whole for an empty name."""
        found = self.data.get(name) if name else self.data
        if not isinstance(found, dict):
            raise damaged(self.path, "SOG", f"{name}: {brief(found)}", "a section")
        return found

    def whole(self, section: str, name: str, low: int, high: int) -> int:
        """A whole number."""
        value = self.section(section).get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise damaged(self.path, "SOG", f"{section} {name}: {brief(value)}".strip(), f"{low} to {high}")
        return value

    def numbers(self, section: str, name: str, count: int) -> np.ndarray:
        """[count] float64, finite."""
        value = self.section(section).get(name)
        try:
            result = np.array(value, np.float64)
        except (TypeError, ValueError):
            result = np.zeros(0)
        if result.shape != (count,) or not np.isfinite(result).all():
            raise damaged(self.path, "SOG", f"{section} {name}: {brief(value)}", f"{count} numbers")
        return result

    def files(self, section: str, count: int) -> list[str]:
        """Names of files beside meta.json, never paths."""
        value = self.section(section).get("files")
        if not isinstance(value, list) or len(value) != count:
            raise damaged(self.path, "SOG", f"{section} files: {brief(value)}", f"{count} names")
        for name in value:
            if not isinstance(name, str) or not name or "/" in name or "\\" in name or name in (".", ".."):
                raise damaged(self.path, "SOG", f"the file name {brief(name)}", "a name without folders")
        return value


class _Image:
    """A WebP image whose pixels are data."""

    def __init__(self, path: Path, name: str, data: bytes) -> None:
        from PIL import Image, UnidentifiedImageError

        self.path, self.name, self.data = path, name, data
        try:
            with Image.open(io.BytesIO(data)) as image:
                self.width, self.height = image.size
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise damaged(path, "SOG", f"{name}: {str(error)[:80]}") from None
        # An image of one colour packs well; a palette or the columns of splats do not.
        refuse_bomb(path, "SOG", len(data), self.width * self.height)

    def holds(self, count: int) -> None:
        """Raise unless there is a pixel for each of `count` splats."""
        if self.width * self.height < count:
            raise damaged(self.path, "SOG", f"{self.name}: {self.width}x{self.height} pixels for {count} splats")

    def texels(self, count: int) -> np.ndarray:
        """[count, 4] uint8."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.data)) as image:
                return np.asarray(image.convert("RGBA")).reshape(-1, 4)[:count]
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise damaged(self.path, "SOG", f"{self.name}: {str(error)[:80]}") from None


def _json(path: Path, text: bytes) -> Mapping[str, Any]:
    if len(text) > _LARGEST_META:
        raise damaged(path, "SOG", f"a meta.json of {len(text)} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "SOG", f"meta.json: {error}") from None
    if not isinstance(data, dict):
        raise damaged(path, "SOG", f"meta.json: {brief(data)}", "an object")
    return data


def _is_sog(path: Path, head: bytes) -> bool:
    return head.startswith(b"PK") or (path.name.endswith("meta.json") and head.lstrip().startswith(b"{"))


FORMAT = Format("splats.sog", "images in a zip file, the smallest", write, read, _is_sog)
