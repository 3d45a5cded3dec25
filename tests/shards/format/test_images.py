"""Three formats are decoded; limits are checked before any pixel; all errors are of one kind."""

from __future__ import annotations

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from shards_helpers import noise

from shards import UserError
from shards.format.images import decode_image, encode_image, image_size


def saved(image: Image.Image, fmt: str) -> bytes:
    out = io.BytesIO()
    image.save(out, fmt)
    return out.getvalue()


def test_png_is_lossless_and_all_formats_keep_the_shape() -> None:
    """PNG keeps every pixel; sizes are read from the header alone."""
    pixels = noise(1, 20)[:13]
    assert (decode_image(encode_image(pixels, "png")) == pixels).all()
    for fmt in ("png", "jpg", "webp"):
        data = encode_image(pixels, fmt)
        assert decode_image(data).shape == (13, 20, 3)
        assert image_size(data) == (20, 13)
        assert encode_image(pixels, fmt) == data


def enormous_png() -> bytes:
    data = bytearray(encode_image(noise(1), "png"))
    data[16:24] = struct.pack(">II", 60000, 60000)
    return bytes(data)


def enormous_jpeg() -> bytes:
    data = bytearray(encode_image(noise(1), "jpg"))
    at = data.index(b"\xff\xc0")  # SOF0: marker, length, precision, height, width
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(data)


def enormous_webp() -> bytes:
    out = saved(Image.fromarray(noise(1)), "WEBP")  # lossy: 14 bits each after the start code
    at = out.index(b"\x9d\x01\x2a")
    return out[: at + 3] + struct.pack("<HH", 16383, 16383) + out[at + 7 :]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def hidden_header() -> bytes:
    """A PNG with a chunk before its header, whose bytes lie where a header would say 8 x 8 pixels."""
    data = encode_image(noise(1), "png")
    return data[:8] + chunk(b"tEXt", struct.pack(">II", 8, 8)) + chunk(b"IHDR", ENORMOUS) + data[33:]


def second_header() -> bytes:
    """A PNG with a small header, and an enormous one after it."""
    data = encode_image(noise(1), "png")
    return data[:33] + chunk(b"IHDR", ENORMOUS) + data[33:]


ENORMOUS = struct.pack(">IIBBBBB", 13000, 13000, 8, 2, 0, 0, 0)
CLAIMS = {f.__name__: f() for f in (enormous_png, enormous_jpeg, enormous_webp, hidden_header, second_header)}


@pytest.mark.parametrize("data", CLAIMS.values(), ids=CLAIMS)
def test_enormous_claims_are_refused_before_decoding(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that claim gigapixels cost nothing: the header is read, and no decoder is called."""
    import simplejpeg

    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **k: pytest.fail("decoded"))
    monkeypatch.setattr(Image.Image, "load", lambda *a: pytest.fail("decoded"))
    with pytest.raises(UserError, match="pixels"):
        decode_image(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",
        b"GIF89a" + bytes(40),
        b"%PDF-1.7",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    """Pickles, other formats and bare signatures: one kind of error, as text."""
    with pytest.raises(UserError, match="image"):
        decode_image(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fmt=st.sampled_from(["png", "jpg", "webp"]), cut=st.integers(1, 400))
def test_truncated_images_are_named_or_whole(fmt: str, cut: int) -> None:
    """A truncated image raises our error, or decodes to its full size where only a trailer is missing."""
    data = encode_image(noise(3, 24), fmt)
    try:
        got = decode_image(data[:-cut])
    except UserError:
        return
    assert got.shape == (24, 24, 3)
    assert fmt != "png" or (got == noise(3, 24)).all()  # libpng does without the end mark and the last checksum


def test_grey_cmyk_palette_and_16_bits_become_rgb() -> None:
    """Every mode that cameras and scanners write; 16 bits are scaled, not clipped to white."""
    grey = Image.fromarray(np.full((4, 4), 40, np.uint8))
    assert (decode_image(saved(grey, "PNG")) == 40).all()
    assert abs(int(decode_image(saved(grey.convert("RGB").convert("CMYK"), "JPEG")).mean()) - 40) < 4
    assert (decode_image(saved(grey.convert("P"), "PNG")) == 40).all()
    assert (decode_image(saved(Image.fromarray(np.full((4, 4), 40 << 8, np.uint16)), "PNG")) == 40).all()


def test_only_jpeg_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is no damage of a file."""
    jpeg = encode_image(noise(1), "jpg")
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    for fmt in ("png", "webp"):
        assert decode_image(encode_image(noise(1), fmt)).shape == noise(1).shape
    for call in (lambda: encode_image(noise(1), "jpg"), lambda: decode_image(jpeg), lambda: image_size(jpeg)):
        with pytest.raises(ModuleNotFoundError, match="simplejpeg"):
            call()


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected uint8 \[height, width, 3\]"):
        encode_image(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(UserError, match="expected jpg, png or webp"):
        encode_image(noise(1), "gif")
