"""Files are written whole or not at all; leftovers of killed writers are recognised."""

from __future__ import annotations

import fcntl
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
    with atomic.Pending(tmp_path / "x") as file:
        stale.write_bytes(b"")
        assert atomic.leftovers(tmp_path) == [stale]
        atomic.sweep(tmp_path, "x")
        assert list(tmp_path.iterdir()) == [file.path]
    assert not list(tmp_path.iterdir())


def test_only_what_is_held_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer may have made it a moment ago and not have locked it yet: nothing is removed without its lock."""
    stale = tmp_path / ".x.dead.tmp"
    stale.write_bytes(b"")
    removed = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        removed.append((path, atomic.is_locked(path)))

    with monkeypatch.context() as watched:
        watched.setattr(Path, "unlink", unlink)
        atomic.sweep(tmp_path, "x")
    assert removed == [(stale, True)]
    real, renamed = fcntl.flock, tmp_path / "y"

    def taken_first(fd: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not renamed.exists():  # another process takes it for a leftover
            next(tmp_path.glob(".y.*.tmp")).rename(renamed)
        real(fd, operation)

    with monkeypatch.context() as late:
        late.setattr(fcntl, "flock", taken_first)
        atomic.write_whole(tmp_path / "y", b"mine")
    assert renamed.read_bytes() == b"mine"


def test_a_writer_sweeps_what_a_dead_one_left_of_its_file_and_no_other(tmp_path: Path) -> None:
    for name in (".x[1].dead.tmp", ".x1.dead.tmp", ".x[1]z.dead.tmp"):
        (tmp_path / name).write_bytes(b"")
    atomic.write_whole(tmp_path / "x[1]", b"mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x1.dead.tmp", ".x[1]z.dead.tmp", "x[1]"]
