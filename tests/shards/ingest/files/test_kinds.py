"""What is not read says what it is, and what to do."""

from __future__ import annotations

import pytest

from shards.ingest.files.kinds import Kind, classify


@pytest.mark.parametrize(
    ("place", "kind", "why"),
    [
        ("a/x.HEIC", Kind.PICTURE, "HEIC is not read; save it as JPEG or PNG"),
        ("a/x.avif", Kind.PICTURE, "AVIF is not read; save it as JPEG or PNG"),
        ("more.ZIP", Kind.OTHER, "an archive; unpack it"),
        ("labels.xls", Kind.OTHER, "XLS is not read as a table; save it as CSV"),
        ("labels.ods", Kind.OTHER, "ODS is not read as a table; save it as CSV"),
        ("labels.json", Kind.OTHER, "JSON is not read as a table; save it as CSV"),
        ("labels.jsonl", Kind.TABLE, ""),
        ("x.bin", Kind.OTHER, "not an image, a table or a tar"),
    ],
)
def test_kinds(place: str, kind: Kind, why: str) -> None:
    assert classify(place) == (kind, why)
