"""Marks are read by foreign tools, change no pixel, and are the same for the same maker."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mark_helpers import DRAWN, drawn
from PIL import Image
from shards_helpers import picture

from shards.format.find_mark import mark_of
from shards.format.images import decode_image, encode_image, image_format, image_size
from shards.format.mark import SOURCE_TYPES, VOCABULARY, Mark, at_odds, marked, packet

FORMATS = ("png", "jpg", "webp")
MARKS = [Mark("algorithmicMedia", "dermforge gen phantoms"), DRAWN]
SHA = "sha256:" + "5e" * 32


def plain_webp(image: Image.Image, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", **more)
    return out.getvalue()


def described(data: bytes) -> dict[str, str]:
    """What Pillow reads, with an XML parser of its own."""
    pytest.importorskip("defusedxml")
    with Image.open(io.BytesIO(data)) as image:
        found: dict[str, str] = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    return found


@pytest.mark.parametrize("fmt", FORMATS)
def test_pillow_reads_the_mark(fmt: str) -> None:
    found = described(drawn(1, fmt))
    assert found["DigitalSourceType"] == VOCABULARY + "trainedAlgorithmicMedia"
    assert found["AISystemUsed"] == found["CreatorTool"] == "dermforge"
    assert found["AISystemVersionUsed"] == SHA


@pytest.mark.parametrize("fmt", FORMATS)
def test_exiftool_reads_the_mark_and_finds_no_fault(fmt: str, tmp_path: Path) -> None:
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed")
    path = tmp_path / f"image.{fmt}"
    path.write_bytes(drawn(1, fmt))
    asked = [tool, "-j", "-n", "-validate", "-XMP:all", "-ImageWidth", "-error", "-warning", str(path)]
    found = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)[0]
    assert found["DigitalSourceType"] == VOCABULARY + "trainedAlgorithmicMedia"
    assert (found["ImageWidth"], found["CreatorTool"]) == (64, "dermforge")
    assert found["Validate"] in (0, "0 0 0"), found


@pytest.mark.parametrize("fmt", FORMATS)
def test_pixels_are_the_same_with_a_mark_and_without(fmt: str) -> None:
    image = picture(3)[:, :41]
    bare, with_mark = encode_image(image, fmt), encode_image(image, fmt, mark=DRAWN)
    np.testing.assert_array_equal(decode_image(with_mark), decode_image(bare))
    with Image.open(io.BytesIO(with_mark)) as ours, Image.open(io.BytesIO(bare)) as theirs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert image_size(with_mark) == (41, 64)
    assert image_format(with_mark) == fmt
    assert with_mark == encode_image(image, fmt, mark=DRAWN)
    assert len(with_mark) - len(bare) < 1000


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("extended", [True, False])
def test_every_webp_becomes_an_extended_one(mode: str, lossless: bool, extended: bool) -> None:
    """Lossless and lossy, with transparency and without, simple and extended already."""
    image = Image.fromarray(picture(2)[:, :41]).convert(mode)
    if mode == "RGBA":
        image.putalpha(100)
    more = {"exif": Image.Exif().tobytes()} if extended else {}
    bare = plain_webp(image, lossless=lossless, **more)
    with_mark = marked(bare, DRAWN)
    with Image.open(io.BytesIO(with_mark)) as ours, Image.open(io.BytesIO(bare)) as theirs:
        assert (ours.size, ours.mode) == (theirs.size, theirs.mode)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert described(with_mark)["AISystemVersionUsed"] == SHA


def test_exif_of_a_jpeg_stays_first() -> None:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(2)).save(out, "JPEG", exif=exif)
    data = marked(out.getvalue(), DRAWN)
    assert data.index(b"Exif\0") < data.index(b"http://ns.adobe.com")
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x0112] == 6
    assert described(data)["AISystemVersionUsed"] == SHA


def test_the_chunk_of_a_png_lies_before_its_pixels() -> None:
    data = drawn(1)
    assert 0 < data.index(b"iTXt") < data.index(b"IDAT")


@given(st.sampled_from(SOURCE_TYPES), st.text(max_size=40), st.sampled_from(FORMATS))
def test_what_is_written_is_found(source_type: str, system: str, fmt: str) -> None:
    """Any name of a system gives XML that a parser reads, and the name comes back as far as XML has its letters."""
    mark = Mark(source_type, system, "0f" * 32)  # type: ignore[arg-type]
    data = encode_image(picture(1)[:8, :8], fmt, mark=mark)
    assert mark_of(data) == Mark(source_type, "", "0f" * 32)  # type: ignore[arg-type]
    shown = "".join(letter for letter in system if letter.isprintable())
    assert described(data).get("CreatorTool", "") == shown


def test_only_a_trained_model_is_called_an_ai_system() -> None:
    assert b"AISystemUsed" not in packet(MARKS[0])
    assert b"AISystemUsed" in packet(Mark("compositeWithTrainedAlgorithmicMedia"))
    assert packet(Mark("algorithmicMedia", "")).count(b"=") < packet(MARKS[0]).count(b"=")


@pytest.mark.parametrize(
    ("origin", "word", "odd"),
    [
        ("real", None, False),
        ("real", "algorithmicMedia", True),
        ("real", "trainedAlgorithmicMedia", True),
        ("phantom", None, False),
        ("phantom", "algorithmicMedia", False),
        ("phantom", "trainedAlgorithmicMedia", True),
        ("synthetic", "trainedAlgorithmicMedia", False),
        ("synthetic", None, False),
    ],
)
def test_a_mark_fits_its_set_or_is_named(origin: str, word: Any, odd: bool) -> None:
    assert at_odds(origin, word and Mark(word)) == (word if odd else "")
