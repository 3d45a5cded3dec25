"""Finds marks, anybody's: in XMP, and in the manifests that C2PA puts into images.

Both are read as text in which one word of IPTC's vocabulary stands. Nothing is parsed, so nothing can be made to
explode. A signature is not checked: whoever takes an image for real must not take one that says it is not.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from shards.format.images import image_format
from shards.format.jpeg_segments import APP1, APP11, segments
from shards.format.mark import PNG_XMP, SOURCE_TYPES, Mark, SourceType

#: XMP of a PNG may be compressed; more than this is no metadata.
MAX_XMP = 4 << 20
#: Tags of TIFF that hold XMP and C2PA's manifests.
_TIFF_TAGS = (700, 52545)
#: What XMP of a JPEG begins with, the part that fits into one segment and the rest, and the bytes before that rest.
_ADOBE, _MORE_XMP, _MORE_HEADER = b"http://ns.adobe.com/", b"http://ns.adobe.com/xmp/extension/\0", 75
#: The word behind the vocabulary's address, or alone as the value of the property.
_WORD = re.compile(rb"digitalsourcetype(?:/|\s*=\s*[\"']|>)\s*(%s)" % "|".join(SOURCE_TYPES).encode(), re.IGNORECASE)
_DIGEST = re.compile(rb"AISystemVersionUsed=\"sha256:([0-9a-f]{64})\"")
_TYPES: dict[str, SourceType] = {word.lower(): word for word in SOURCE_TYPES}


def mark_of(data: bytes) -> Mark | None:
    """The mark of an encoded image; None where it has none, or its format none that is read.

    PNG, JPEG, WebP, TIFF and GIF. `system` is left empty, and `digest` is that of a bundle, where dermforge wrote it.
    """
    plain = b" ".join(_metadata(data)).replace(b"\0", b"")  # XMP may be of two or four bytes a letter
    word, digest = _WORD.search(plain), _DIGEST.search(plain)
    return Mark(_TYPES[word[1].decode().lower()], "", digest[1].decode() if digest else None) if word else None


def _metadata(data: bytes) -> Iterator[bytes]:
    match image_format(data):
        case "png":
            return _of_png(data)
        case "jpg":
            return _of_jpeg(data)
        case "webp":
            return _of_webp(data)
        case "tif":
            return _of_tiff(data)
        case "gif":
            return iter(data.split(b"XMP DataXMP", 1)[1:])
    return iter(())


def _of_png(data: bytes) -> Iterator[bytes]:
    at = 8
    while len(data) >= at + 12:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start, at = at + 8, at + 12 + length
        if kind == b"caBX":
            yield data[start : start + length]
        elif kind == b"iTXt" and data.startswith(PNG_XMP, start):
            text = data[start + len(PNG_XMP) : start + length]
            yield _inflated(text) if text[:1] == b"\1" else text


def _inflated(text: bytes) -> bytes:
    """What is compressed behind the flag, the method, the language and the translated keyword."""
    try:
        return zlib.decompressobj().decompress(text[2:].split(b"\0", 2)[-1], MAX_XMP)
    except zlib.error:
        return b""


def _of_jpeg(data: bytes) -> Iterator[bytes]:
    more, manifests = [], []
    for marker, start, end in segments(data):
        if marker == APP1 and data.startswith(_MORE_XMP, start):
            more.append(data[start + _MORE_HEADER : end])
        elif marker == APP1 and data.startswith(_ADOBE, start):
            yield data[start:end]
        elif marker == APP11 and data.startswith(b"JP", start):
            first = int.from_bytes(data[start + 4 : start + 8], "big") == 1  # the others repeat the box's header
            manifests.append(data[start + (8 if first else 16) : end])
    yield b"".join(more)
    yield b"".join(manifests)


def _of_webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while len(data) >= at + 8:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind in (b"XMP ", b"C2PA"):
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _of_tiff(data: bytes) -> Iterator[bytes]:
    """Of the first picture. Read here, as Pillow warns of every damage."""
    order, big = ">" if data[:1] == b"M" else "<", 43 in data[2:4]
    place, entries, width = ("Q", "Q", 20) if big else ("I", "H", 12)
    try:
        (at,) = struct.unpack_from(order + place, data, 8 if big else 4)
        (n,) = struct.unpack_from(order + entries, data, at)
        for entry in range(n):
            offset = at + struct.calcsize(entries) + entry * width
            tag, _, length, start = struct.unpack_from(f"{order}HH{place}{place}", data, offset)
            if tag in _TIFF_TAGS:
                yield data[start : start + length]
    except (struct.error, OverflowError):  # whoever decodes it says what is wrong
        return
