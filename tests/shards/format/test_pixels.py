"""What a file shows, whatever it stores: turned, converted to sRGB, flattened, scaled."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from shards_helpers import picture

from dermforge.common.skin_tone import ita, srgb_to_lab
from shards import UserError
from shards.format.images import decode_image, image_format, image_size
from shards.format.pixels import scaled

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")


def saved(image: Image.Image, fmt: str, **more: object) -> bytes:
    exact: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    out = io.BytesIO()
    image.save(out, fmt, **exact.get(fmt, {}), **more)
    return out.getvalue()


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_applied_to_pixels_and_size(fmt: str, turn: int) -> None:
    """As Pillow's own transposition, for all eight orientations."""
    image = Image.fromarray(picture(1)[:, :40])
    exif = image.getexif()
    exif[0x0112] = turn
    data = saved(image, fmt, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_allclose(decode_image(data).astype(int), expected, atol=8 if fmt == "JPEG" else 0)
    assert image_size(data) == (expected.shape[1], expected.shape[0])


def wide_profile() -> bytes:
    """An RGB profile with the primaries and gamma of Adobe RGB (1998), version 2."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(12 + 67 + 6)
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.19921875 * 256)) + b"\0\0"
    tags = {
        b"desc": text,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma),
    }
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    head = (
        struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    )
    head += number(0.9642) + number(1.0) + number(0.8249)
    whole = head + bytes(128 - len(head)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


@pytest.mark.parametrize("fmt", FORMATS)
def test_profiles_are_converted_to_srgb(fmt: str) -> None:
    """The same skin in Adobe RGB and in sRGB has the same tone; with the profile dropped it is off by degrees."""
    skin = np.full((32, 32, 3), (120, 75, 50), np.uint8)
    wide = ImageCms.ImageCmsProfile(io.BytesIO(wide_profile()))
    image = ImageCms.profileToProfile(
        Image.fromarray(skin),
        ImageCms.createProfile("sRGB"),
        wide,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert image is not None

    def tone(pixels: np.ndarray) -> float:
        return float(ita(srgb_to_lab(pixels.reshape(-1, 3).mean(0) / 255)))

    assert abs(tone(np.asarray(image)) - tone(skin)) > 2
    assert abs(tone(decode_image(saved(image, fmt, icc_profile=wide_profile()))) - tone(skin)) < 1


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_srgb_and_broken_profiles_change_nothing(fmt: str) -> None:
    image = Image.fromarray(picture(3))
    plain = decode_image(saved(image, fmt))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile"):
        np.testing.assert_array_equal(decode_image(saved(image, fmt, icc_profile=profile)), plain)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_do_not_come_back(mode: str) -> None:
    """They are white, whatever colour the file hides there."""
    pixels = np.full((8, 8, 4), (10, 20, 200, 255), np.uint8)
    pixels[2:4, 2:4] = (0, 0, 255, 0)
    image = Image.fromarray(pixels)
    if mode == "P":
        flat = Image.fromarray(np.where(pixels[..., 3] == 0, 1, 0).astype(np.uint8)).convert("P")
        flat.putpalette([10, 20, 200, 0, 0, 255])
        data = saved(flat, "PNG", transparency=1)
    else:
        data = saved(image.convert(mode), "PNG")
    shown = decode_image(data)
    assert (shown[2:4, 2:4] == 255).all()
    assert (shown[0, 0] < 255).all()


@pytest.mark.parametrize(("most", "shift"), [(255, 0), (1023, 2), (4095, 4), (65535, 8)])
def test_deep_pixels_are_scaled_by_the_range_they_use(most: int, shift: int) -> None:
    values = np.linspace(0, most, 64).astype(np.uint16).reshape(8, 8)
    np.testing.assert_array_equal(scaled(values), values >> shift)
    np.testing.assert_array_equal(decode_image(saved(Image.fromarray(values), "PNG"))[..., 0], values >> shift)
    with pytest.raises(UserError, match="expected whole numbers"):
        scaled(values.astype(float))


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    height, width, channels = values.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_colours_of_12_bits_are_not_black(channels: int) -> None:
    values = np.full((4, 4, channels), 2048, np.uint16)
    values[0, 0, : min(channels, 3)] = 4095
    if channels != 3:
        values[..., -1] = 65535
        values[0, 0] = [4095] * (channels - 1) + [65535]
    shown = decode_image(deep_png(values))
    assert (shown[1, 1] == 128).all()
    assert (shown[0, 0] == 255).all()


@pytest.mark.parametrize("fmt", ["TIFF", "BMP", "GIF"])
def test_other_formats_are_read(fmt: str) -> None:
    data = saved(Image.fromarray(picture(2)).quantize(64) if fmt == "GIF" else Image.fromarray(picture(2)), fmt)
    assert image_format(data) == {"TIFF": "tif"}.get(fmt, fmt.lower())
    assert image_size(data) == (64, 64)


def test_tiffs_with_places_of_64_bits_are_read() -> None:
    data = saved(Image.fromarray(picture(2)), "TIFF", big_tiff=True)
    assert image_format(data) == "tif"
    np.testing.assert_array_equal(decode_image(data), picture(2))


def test_tiffs_of_several_pages_are_refused() -> None:
    pages = [Image.fromarray(picture(i)) for i in range(3)]
    with pytest.raises(UserError, match="a TIFF of 3 pictures"):
        decode_image(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
