"""A committed shard keeps its content, whoever writes it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shards_helpers import CLASSES, WHOLE, items, names, write

from shards import CheckFailed, ShardSet, write_shard
from shards.tools.verify import verify


def test_two_writers_of_one_shard(tmp_path: Path) -> None:
    """Writers of the same content may race: the files are the same whichever is last."""
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            status = 1
            try:
                write(tmp_path, 20)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    assert names(tmp_path) == WHOLE
    assert not verify(tmp_path, deep=True, workers=1).faults


def test_two_writers_without_digests(tmp_path: Path) -> None:
    """Without digests the bytes are compared: equal ones are kept, others are refused."""
    write(tmp_path, digests=False)
    write(tmp_path, digests=False)
    with pytest.raises(CheckFailed, match="other content"):
        write_shard(tmp_path, "set", 0, items(3, group="tan"), classes=CLASSES, digests=False)
    assert names(tmp_path) == WHOLE
    verdict = verify(tmp_path, deep=True, workers=1)
    assert (verdict.faults, len(verdict.notes)) == ([], 1)


def test_changed_plan_does_not_replace_a_shard(tmp_path: Path) -> None:
    """A committed shard is never overwritten with other content; both digests are shown."""
    before = write(tmp_path)
    with pytest.raises(CheckFailed, match=f"other content.*{before.sha256[:12]}"):
        write_shard(tmp_path, "set", 0, items(4), classes=CLASSES)
    assert [s.sha256 for s in ShardSet.open(tmp_path).sidecars] == [before.sha256]
    assert names(tmp_path) == WHOLE
