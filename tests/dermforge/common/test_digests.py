"""Digests equal those of hashlib for bytes, files and streams."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.digests import INLINE, StreamDigest, digest_bytes, digest_file, digest_files, digest_stream


@given(st.lists(st.sampled_from([0, 1, 100, INLINE - 1, INLINE, 3 * INLINE]), max_size=40))
def test_a_stream_in_pieces_has_the_digest_of_the_whole(sizes: list[int]) -> None:
    """Small pieces are hashed at once, large ones in a thread; the order must hold."""
    pieces = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    stream = StreamDigest()
    for piece in pieces:
        stream.update([piece[:7], piece[7:]])
    assert stream.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()
    stream.close()


def test_files_are_named_in_their_digest(tmp_path: Path) -> None:
    """Two files with swapped contents give another digest."""
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
    assert digest_file(tmp_path / "a") == digest_bytes(b"1")
    with (tmp_path / "b").open("rb") as file:
        assert digest_stream(file) == digest_bytes(b"2")
    both = [tmp_path / "b", tmp_path / "a"]
    before = digest_files(tmp_path, both)
    assert before == digest_files(tmp_path, reversed(both))
    (tmp_path / "a").write_bytes(b"2")
    (tmp_path / "b").write_bytes(b"1")
    assert digest_files(tmp_path, both) != before
