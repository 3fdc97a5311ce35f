"""Photos of every bit depth, orientation and transparency come out as the same numbers."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from recon.geometry.camera import Camera, Distortion
from recon.io.exif import exif_focal_px, orient, read_header
from recon.io.images import is_cut_out, load_image, prepare_view
from recon.scene import Photo, View


def view_of(path: Path, width: int = 6, height: int = 4, mask: Path | None = None) -> View:
    camera = Camera.pinhole(width, height, 5.0, 6.0, 2.5, 1.75)
    return View(path.stem + ".jpg", camera, torch.eye(4, dtype=torch.float64), Photo(path, mask))


def random_pixels(channels: int, dtype: type = np.uint8, width: int = 6, height: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def write_tiff16(path: Path, pixels: np.ndarray, orientation: int, order: str = "<") -> None:
    """Uncompressed 16-bit RGB TIFF with an orientation tag; neither Pillow nor OpenCV writes one."""
    height, width, channels = pixels.shape
    data = pixels.astype(order + "u2").tobytes()
    end = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, end), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, end + 2 * channels), (274, 3, 1, orientation), (277, 3, 1, channels), (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    for tag, kind, count, value in tags:
        out += struct.pack(order + "HHI", tag, kind, count)
        out += struct.pack(order + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(order + "I", value)
    out += struct.pack(order + "I", 0) + struct.pack(f"{order}{channels}H", *[16] * channels) + data
    path.write_bytes(out)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_survive(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = random_pixels(channels, np.uint16)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), pixels[..., [2, 1, 0, 3][:channels]] if channels > 1 else pixels)
    image = load_image(view_of(path))
    assert image.rgb.dtype == np.float32
    np.testing.assert_array_equal(np.rint(image.rgb * 65535), np.broadcast_to(pixels[..., :3], (4, 6, 3)))
    if channels == 4:
        assert image.alpha is not None
        np.testing.assert_array_equal(np.rint(image.alpha * 65535), pixels[..., 3])
    else:
        assert image.alpha is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGB", "RGBA", "CMYK"])
def test_eight_bit_modes(tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(random_pixels(4), "RGBA").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    source.save(path)
    image = load_image(view_of(path))
    expected = np.asarray(source.convert("RGBA"))
    np.testing.assert_array_equal(np.rint(image.rgb * 255), expected[..., :3])
    if expected[..., 3].min() < 255:
        assert image.alpha is not None
        np.testing.assert_array_equal(np.rint(image.alpha * 255), expected[..., 3])
    else:
        assert image.alpha is None


def test_an_opaque_alpha_channel_is_none(tmp_path: Path) -> None:
    pixels = random_pixels(4)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert load_image(view_of(tmp_path / "a.png")).alpha is None


def stored_for(shown: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels that a camera stores with `orientation` when `shown` is what a viewer shows."""
    return np.ascontiguousarray(orient(shown, {6: 8, 8: 6}.get(orientation, orientation)))


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "tif-deflate", "webp", "tif16", "tif16-be"])
def test_eight_orientations_show_the_same_pixels(tmp_path: Path, kind: str) -> None:
    smooth = cv2.resize(random_pixels(3), (36, 24), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((24, 36), np.uint8)
    mask[3:20, 5:30] = 255
    for orientation in range(1, 9):
        stored = stored_for(smooth, orientation)
        path = tmp_path / f"{orientation}.{kind[:4].rstrip('-1')}"
        exif = Image.Exif()
        exif[274] = orientation
        if kind.startswith("tif16"):
            write_tiff16(path, stored.astype(np.uint16) * 257, orientation, ">" if kind.endswith("be") else "<")
        else:
            options = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(kind, {})
            if kind == "tif-deflate":
                options = {"compression": "tiff_adobe_deflate"}
            Image.fromarray(stored).save(path, exif=exif, **options)
        assert read_header(path).size == (36, 24)
        assert read_header(path).stored == stored.shape[1::-1]
        mask_path = tmp_path / "mask.png"  # masks carry no orientation; here it was drawn on the stored pixels
        Image.fromarray(stored_for(mask, orientation) if orientation >= 5 else mask).save(mask_path)
        image = load_image(view_of(path, 36, 24, mask_path))
        # A JPEG's blocks lie differently in a turned photo; the other formats are exact.
        np.testing.assert_allclose(image.rgb * 255, smooth, atol=6 if kind == "jpg" else 1e-4, err_msg=str(path))
        np.testing.assert_array_equal(image.alpha, mask / 255)
        if orientation >= 5:  # a camera of the stored size was computed on the pixels as they are
            unturned = load_image(view_of(path, 24, 36))
            np.testing.assert_allclose(unturned.rgb * 255, stored, atol=6 if kind == "jpg" else 1e-4)


def test_orientation_at_the_end_of_a_png_is_found(tmp_path: Path) -> None:
    pixels = random_pixels(3)
    exif = Image.Exif()
    exif[274] = 3
    payload = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(payload) - 4) + payload + struct.pack(">I", zlib.crc32(payload))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    np.testing.assert_array_equal(np.rint(load_image(view_of(tmp_path / "a.png")).rgb * 255), pixels[::-1, ::-1])


def test_orient_agrees_with_pillow() -> None:
    from PIL import ImageOps

    pixels = random_pixels(3)
    for orientation in range(1, 9):
        image = Image.fromarray(pixels)
        image.getexif()[274] = orientation
        np.testing.assert_array_equal(orient(pixels, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_exif_focal_length(tmp_path: Path) -> None:
    def photo(**tags: object) -> Path:
        exif = Image.Exif()
        numbers = {"f35": 0xA405, "f": 0x920A, "resolution": 0xA20E, "unit": 0xA210, "width": 0xA002}
        exif.get_ifd(0x8769).update({numbers[name]: value for name, value in tags.items()})
        Image.fromarray(random_pixels(3, width=300, height=200)).save(tmp_path / "a.jpg", exif=exif)
        return tmp_path / "a.jpg"

    # 50 mm on 36x24 mm film, 300x200 px.
    assert exif_focal_px(photo(f35=50)) == pytest.approx(50 / 36 * 300)
    assert exif_focal_px(photo(f=10.0, resolution=1000.0, unit=3)) == pytest.approx(1000)
    assert exif_focal_px(photo(f=10.0, resolution=1000.0, unit=2, width=3000)) == pytest.approx(10 / 25.4 * 100)
    assert exif_focal_px(photo(f=10.0)) is None
    assert exif_focal_px(photo(f35=0)) is None


def test_downscale_averages_areas_and_scales_the_intrinsics_by_whole_pixels(tmp_path: Path) -> None:
    pixels = random_pixels(3, width=31, height=22)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    view = view_of(tmp_path / "a.png", 31, 22)
    ready = prepare_view(view, 3, None, tmp_path / "out")
    assert (ready.camera.width, ready.camera.height) == (10, 7)
    scale = np.diag([10 / 31, 7 / 22, 1])
    np.testing.assert_allclose(ready.camera.K, scale @ view.camera.K.numpy(), rtol=1e-15)
    # Averaging keeps the mean of the whole picture whatever the factor; 8-bit rounding is unbiased over 70 pixels.
    np.testing.assert_allclose(load_image(ready).rgb.mean((0, 1)), pixels.mean((0, 1)) / 255, atol=1e-3)
    assert (ready.name, ready.photo) == (view.name, Photo(tmp_path / "out/a.png"))
    assert Image.open(tmp_path / "out/a.png").mode == "RGB"

    halves = prepare_view(view_of(tmp_path / "a.png", 31, 22), 1, 11, tmp_path / "out")
    assert (halves.camera.width, halves.camera.height) == (11, 8)
    exact = random_pixels(3, width=12, height=8)
    Image.fromarray(exact).save(tmp_path / "b.png")
    shrunk = load_image(prepare_view(view_of(tmp_path / "b.png", 12, 8), 4, None, tmp_path / "out")).rgb
    np.testing.assert_allclose(shrunk * 255, exact.reshape(2, 4, 3, 4, 3).mean((1, 3)), atol=0.51)


def test_transparent_colours_do_not_bleed(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # green that nobody should see
    pixels[:, :3] = (200, 10, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = load_image(prepare_view(view_of(tmp_path / "a.png", 8, 8), 2, None, tmp_path / "out"))
    assert image.alpha is not None
    np.testing.assert_allclose(image.alpha[0], [1, 0.5, 0, 0], atol=1 / 255)
    np.testing.assert_allclose(image.rgb[0, :2] * 255, [[200, 10, 30]] * 2, atol=1)


def test_views_in_folders_keep_their_folders(tmp_path: Path) -> None:
    from dataclasses import replace

    Image.fromarray(random_pixels(3)).save(tmp_path / "a.png")
    view = replace(view_of(tmp_path / "a.png"), name="left/a.jpg")
    assert prepare_view(view, 1, None, tmp_path / "out").photo == Photo(tmp_path / "out/left/a.png")


def test_full_size_is_exact(tmp_path: Path) -> None:
    pixels = random_pixels(4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ready = prepare_view(view_of(tmp_path / "a.png"), 1, None, tmp_path / "out")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), pixels)
    assert ready.camera.distortion.is_identity


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_headers_are_read_without_decoding(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(random_pixels(3)).save(tmp_path / f"a{suffix}")

    def refuse(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    assert read_header(tmp_path / f"a{suffix}").size == (6, 4)
    assert exif_focal_px(tmp_path / f"a{suffix}") is None


def test_the_rim_of_a_lens_does_not_cut_a_photo_out(tmp_path: Path) -> None:
    Image.fromarray(random_pixels(3)).save(tmp_path / "opaque.png")
    Image.fromarray(random_pixels(4)).save(tmp_path / "clear.png")
    opaque = view_of(tmp_path / "opaque.png")
    bent = replace(opaque, camera=replace(opaque.camera, distortion=Distortion("opencv", (2.0, 0.0, 0.0, 0.0))))
    assert load_image(prepare_view(bent, 1, None, tmp_path / "out")).alpha is not None
    cut_out = [is_cut_out(one) for one in (bent, opaque, view_of(tmp_path / "clear.png"))]
    assert cut_out == [False, False, True]
    assert is_cut_out(view_of(tmp_path / "opaque.png", mask=tmp_path / "clear.png"))
