"""Staging folders do not fill the disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from shards.storage.staging import Staging


def test_the_next_writer_removes_what_a_killed_one_staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of dead writers are removed, those of living writers are kept."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if (pid := os.fork()) == 0:
        staging = Staging()
        (staging.path / "set-000000.tar").write_bytes(b"x")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 1
    with Staging() as mine, Staging() as other:
        assert sorted(tmp_path.iterdir()) == sorted([mine.root, other.root])
    assert not list(tmp_path.iterdir())
