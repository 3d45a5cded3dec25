"""Marks of any tool are found, in every format that is read; damage hides nothing else and raises nothing."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mark_helpers import DRAWN, FOREIGN, drawn, of_another_tool
from PIL import Image
from shards_helpers import picture

from shards.format.find_mark import mark_of
from shards.format.images import encode_image
from shards.format.mark import JPEG_XMP, PNG_XMP, SOURCE_TYPES, Mark, SourceType

WORD: SourceType = "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("word", SOURCE_TYPES)
@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_marks_of_another_tool_are_found(fmt: str, word: str) -> None:
    """PNG: compressed."""
    with Image.open(io.BytesIO(of_another_tool(fmt, word))) as image:
        assert fmt == "GIF" or image.getxmp()["xmpmeta"]["RDF"]["Description"]["DigitalSourceType"].endswith(f"/{word}")
    assert mark_of(of_another_tool(fmt, word)) == Mark(word, "")  # type: ignore[arg-type]


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("word", ["digitalCapture", "algorithmicallyEnhanced", "humanEdits", "compositeCapture"])
def test_photographs_that_say_so_are_not_marked(fmt: str, word: str) -> None:
    assert mark_of(of_another_tool(fmt, word)) is None


@pytest.mark.parametrize("fmt", ["png", "jpg", "webp"])
def test_images_without_metadata_have_no_mark(fmt: str) -> None:
    assert mark_of(encode_image(picture(1), fmt)) is None
    assert mark_of(b"") is None
    assert mark_of(b"no image") is None


def png_with(kind: bytes, content: bytes) -> bytes:
    data = encode_image(picture(1))
    end = len(data) - 12  # behind the pixels
    part = kind + content
    chunk = struct.pack(">I", len(content)) + part + struct.pack(">I", zlib.crc32(part))
    return data[:end] + chunk + data[end:]


def jpeg_with(*contents: tuple[int, bytes]) -> bytes:
    data = encode_image(picture(1), "jpg")
    parts = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in contents)
    return data[:2] + parts + data[2:]


#: A manifest holds its words as CBOR: a byte with kind and length, the text, and the next value at once.
MANIFEST = b"jumb" + b"\x71digitalSourceType\x78\x46http://cv.iptc.org/newscodes/digitalsourcetype/%sjsignature"


@pytest.mark.parametrize("word", SOURCE_TYPES)
def test_manifests_of_c2pa_are_found(word: str) -> None:
    manifest = MANIFEST % word.encode()
    webp = encode_image(picture(1), "webp")
    out, large = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture(1)).save(out, "TIFF", tiffinfo={52545: manifest})
    Image.fromarray(picture(1)).save(large, "TIFF", tiffinfo={52545: manifest}, big_tiff=True)
    cut, header = len(manifest) - 20, struct.pack(">I4s", len(manifest), b"jumb")
    split = jpeg_with(
        (0xEB, b"JP\0\1" + struct.pack(">I", 1) + manifest[:cut]),
        (0xEB, b"JP\0\1" + struct.pack(">I", 2) + header + manifest[cut:]),
    )
    pad = b"\0" * (len(manifest) % 2)
    for data in (
        png_with(b"caBX", manifest),
        webp + b"C2PA" + struct.pack("<I", len(manifest)) + manifest + pad,
        out.getvalue(),
        large.getvalue(),
        split,
    ):
        assert mark_of(data) == Mark(word, "")  # type: ignore[arg-type]


def test_other_ways_to_write_the_word_are_read() -> None:
    """The bare word, two bytes a letter, a long packet cut in two, XMP behind the pixels, bytes that fill up."""
    short = b'<rdf:Description Iptc4xmpExt:DigitalSourceType="trainedAlgorithmicMedia"/>'
    wide = (FOREIGN % WORD.encode()).decode().encode("utf-16")
    cut = (FOREIGN % WORD.encode())[:300], (FOREIGN % WORD.encode())[300:]
    assert b"digitalsourcetype" in cut[0].lower()
    more = [(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"G" * 32 + b"\0" * 8 + part) for part in cut]
    filled = jpeg_with((0xE1, JPEG_XMP + FOREIGN % WORD.encode()))
    assert mark_of(jpeg_with((0xE1, JPEG_XMP + short))) == Mark("trainedAlgorithmicMedia", "")
    assert mark_of(jpeg_with((0xE1, JPEG_XMP + wide))) == Mark(WORD, "")
    assert mark_of(jpeg_with(*more)) == Mark(WORD, "")
    assert mark_of(png_with(b"iTXt", PNG_XMP + b"\0\0\0\0" + FOREIGN % WORD.encode())) == Mark(WORD, "")
    assert mark_of(filled[:2] + b"\xff\xff" + filled[2:]) == Mark(WORD, "")


def test_compressed_text_is_read_up_to_a_limit() -> None:
    """A few thousand bytes could otherwise become gigabytes; what is not compressed at all is passed over."""
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    assert mark_of(png_with(b"iTXt", PNG_XMP + b"\1\0\0\0" + bomb)) is None
    assert mark_of(png_with(b"iTXt", PNG_XMP + b"\1\0\0\0" + b"no zlib")) is None


@given(st.sampled_from(["png", "jpg", "webp"]), st.integers(0, 3000), st.binary(max_size=30))
def test_damage_raises_nothing(fmt: str, at: int, noise: bytes) -> None:
    data = drawn(1, fmt)
    for damaged in (data[:at], data[:at] + noise + data[at + len(noise) :], data + noise):
        assert mark_of(damaged) in (None, Mark(DRAWN.source_type, ""), Mark(DRAWN.source_type, "", DRAWN.digest))


@given(st.integers(0, 3000), st.binary(max_size=30))
def test_damage_of_a_tiff_raises_nothing(at: int, noise: bytes) -> None:
    data = of_another_tool("TIFF")
    place = at if at < 200 else len(data) - at % 1500
    assert mark_of(data) is not None
    for damaged in (data[:place], data[:place] + noise + data[place + len(noise) :]):
        assert mark_of(damaged) in (None, Mark("trainedAlgorithmicMedia", ""))
