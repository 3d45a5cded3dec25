"""The mark of an image that no camera took: XMP beside its pixels, which says by IPTC's words how it was made.

It is a pure function of what made the image. Neither the time nor the version of the program is in it, so an image that
is drawn again has the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from xml.sax.saxutils import quoteattr

from shards.format.jpeg_segments import APP0, APP1, segments

#: The words of IPTC's NewsCodes "Digital Source Type" for images that an algorithm made, all of it or parts.
SourceType = Literal[
    "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic"
]
SOURCE_TYPES: tuple[SourceType, ...] = get_args(SourceType)
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"

#: What XMP begins with in a JPEG's segment, and its keyword in a PNG with no compression, language or translation.
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
PNG_XMP = b"XML:com.adobe.xmp\0"
#: Where the first chunk of a PNG, which holds its size, ends.
_PNG_SIZE_ENDS = 33
_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10

_NAMESPACES = (
    ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
    ("xmp", "http://ns.adobe.com/xap/1.0/"),
    ("Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"),
)


@dataclass(frozen=True)
class Mark:
    """How an image was made.

    Attributes
    ----------
    source_type
        A word of `VOCABULARY`. trainedAlgorithmicMedia: a trained model drew all of it;
        compositeWithTrainedAlgorithmicMedia: a trained model changed a photograph; algorithmicMedia: a program drew it;
        compositeSynthetic: a picture of pictures, some of them made by an algorithm.
    system
        What made it; "" where that is not known.
    digest
        sha256 of the engine bundle; None where there is none.
    """

    source_type: SourceType
    system: str = "dermforge"
    digest: str | None = None


def at_odds(origin: str, mark: Mark | None) -> str:
    """What a mark says, where the set says something else; a photograph has none, and a program drew a phantom."""
    if mark is None or origin == "synthetic" or (origin, mark.source_type) == ("phantom", "algorithmicMedia"):
        return ""
    return mark.source_type


@lru_cache(maxsize=256)
def packet(mark: Mark) -> bytes:
    """The mark as an XMP packet (ISO 16684-1), with the properties of IPTC Photo Metadata 2025.1."""
    system = "".join(letter for letter in mark.system if letter.isprintable())  # XML has no others
    by_model = "trained" in mark.source_type.lower()
    values = {
        "xmp:CreatorTool": system,
        "Iptc4xmpExt:DigitalSourceType": VOCABULARY + mark.source_type,
        "Iptc4xmpExt:AISystemUsed": system if by_model else "",
        "Iptc4xmpExt:AISystemVersionUsed": f"sha256:{mark.digest}" if mark.digest else "",
    }
    names = "".join(f" xmlns:{name}={quoteattr(address)}" for name, address in _NAMESPACES)
    properties = "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF{names}><rdf:Description rdf:about=""{properties}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def marked(data: bytes, mark: Mark) -> bytes:
    """An encoded PNG, JPEG or WebP without XMP, with its mark. Pixels and all other bytes stay as they are.

    Parameters
    ----------
    data
        As `encode_image` gives it.
    """
    if data.startswith(b"RIFF"):
        return _marked_webp(data, packet(mark))
    png = data.startswith(b"\x89PNG")
    at, part = (_PNG_SIZE_ENDS, _png_chunk(mark)) if png else (_jpeg_place(data), _jpeg_segment(mark))
    return b"".join((data[:at], part, memoryview(data)[at:]))  # copied once


@lru_cache(maxsize=256)
def _png_chunk(mark: Mark) -> bytes:
    content = b"iTXt" + PNG_XMP + b"\0\0\0\0" + packet(mark)
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


@lru_cache(maxsize=256)
def _jpeg_segment(mark: Mark) -> bytes:
    content = JPEG_XMP + packet(mark)
    return struct.pack(">BBH", 0xFF, APP1, len(content) + 2) + content


def _jpeg_place(data: bytes) -> int:
    """Behind JFIF and EXIF, which have to come first."""
    at = 2
    for marker, start, end in segments(data):
        if marker != APP0 and not (marker == APP1 and data.startswith(b"Exif", start)):
            break
        at = end
    return at


def _marked_webp(data: bytes, xmp: bytes) -> bytes:
    """XMP needs the extended format: a first chunk with flags and the size, and the packet behind the pixels."""
    kind, body = data[12:16], data[12:]
    if kind == b"VP8X":
        extended = body[:8] + bytes([body[8] | _WEBP_HAS_XMP]) + body[9:]
    else:
        width, height, alpha = _webp_facts(kind, data)
        flags = _WEBP_HAS_XMP | (_WEBP_HAS_ALPHA if alpha else 0)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        extended = b"VP8X" + struct.pack("<II", 10, flags) + size + body
    content = b"WEBP" + extended + b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _webp_facts(kind: bytes, data: bytes) -> tuple[int, int, bool]:
    """Width, height and transparency of a simple WebP (RFC 9649), lossless or lossy."""
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF, False
