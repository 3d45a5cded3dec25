"""The segments of a JPEG before its pixels."""

from __future__ import annotations

from collections.abc import Iterator

#: Markers of the segments that metadata lies in: JFIF; EXIF and XMP; colour profiles; JUMBF.
APP0, APP1, APP2, APP11 = 0xE0, 0xE1, 0xE2, 0xEB
_SCAN = 0xDA


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the content of each segment up to the first scan; a broken one ends it."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 4:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a byte that fills up
            at += 1
            continue
        if marker == _SCAN or length < 2:
            return
        yield marker, at + 4, at + 2 + length
        at += 2 + length
