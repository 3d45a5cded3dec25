"""Files are written whole or not at all; leftovers of killed writers are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermforge.common import atomic


def test_a_file_appears_on_commit_only(tmp_path: Path) -> None:
    """An error leaves the old content and no temporary file."""
    path = tmp_path / "x"
    atomic.write_whole(path, b"old")

    def interrupted() -> None:
        with atomic.Pending(path) as file:
            file.write([b"ne", b"w"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    with atomic.Pending(path) as file:
        assert file.write([b"ne", b"w"]) == 3
        file.commit()
    assert path.read_bytes() == b"new"


def test_files_in_use_are_not_swept(tmp_path: Path) -> None:
    stale = tmp_path / ".x.dead.tmp"
    stale.write_bytes(b"")
    with atomic.Pending(tmp_path / "x") as file:
        assert atomic.leftovers(tmp_path) == [stale]
        atomic.sweep(tmp_path, "x")
        assert list(tmp_path.iterdir()) == [file.path]
    assert not list(tmp_path.iterdir())
