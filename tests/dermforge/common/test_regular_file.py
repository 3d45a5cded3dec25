"""Pipes, devices, sparse files and links that leave their folder are refused at once, by one rule."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dermforge.common import regular_file, tables
from dermforge.common.digests import digest_file
from dermforge.common.errors import UserError
from dermforge.common.regular_file import leaves, read_regular
from shards.format.images import MAX_BYTES
from shards.ingest.files.walk import File
from shards.storage.location import Folder


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 40 << 30)


READERS: dict[str, Callable[[Path], object]] = {
    "read_regular": read_regular,
    "an image of a folder": lambda path: File(path.name, path).read(),
    "a record of a shard folder": lambda path: Folder(path.parent).read(path.name),
    "a table": tables.read_table,
}
PATHS: dict[str, Callable[[Path], object]] = READERS | {
    "digest_file": digest_file,
    "a tar of a shard folder": lambda path: Folder(path.parent).open(path.name),
}


@pytest.mark.parametrize("make", [fifo, endless])
@pytest.mark.parametrize("read", PATHS.values(), ids=PATHS)
def test_no_pipe_and_no_device_is_read(
    make: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"x\.csv"):
        read(tmp_path / "x.csv")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_sparse_file_is_refused_before_it_is_read(read: Callable[[Path], object], tmp_path: Path) -> None:
    sparse(tmp_path / "x.csv")
    start = time.monotonic()
    with pytest.raises(UserError, match=r"42949672960 bytes; at most"):
        read(tmp_path / "x.csv")
    assert time.monotonic() - start < 1


def test_the_limit_is_the_last_size_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(UserError, match="has 5 bytes; at most 4"):
        read_regular(tmp_path / "a", 4)
    assert regular_file.RECORD > MAX_BYTES


def test_a_link_leaves_a_folder_where_its_target_is_elsewhere(tmp_path: Path) -> None:
    for name in ("in", "in/deep", "inner"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a").touch()
    (tmp_path / "inner" / "b").touch()
    for link, target in (
        ("in/to_a", "a"),
        ("in/deep/to_a", "../a"),
        ("in/to_b", "../inner/b"),
        ("in/etc", "/etc/hosts"),
    ):
        (tmp_path / link).symlink_to(target)
    outside = [p.name for p in sorted((tmp_path / "in").rglob("*")) if leaves(p, tmp_path / "in")]
    assert outside == ["etc", "to_b"]
