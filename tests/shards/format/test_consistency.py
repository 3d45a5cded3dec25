"""Files of a set that do not belong together are named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import write

from shards import CheckFailed, ShardSet


def test_uncommitted_tar_is_named(tmp_path: Path) -> None:
    """A tar without its commit record is not data."""
    write(tmp_path)
    (tmp_path / "set-000000.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000000.tar has no sidecar.*repair"):
        ShardSet.open(tmp_path)


def test_lost_tar_and_lost_pair_are_named(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """A missing tar is found by its sidecar, a missing pair by timm's `_info.json`."""
    folder = tmp_path / "x"
    shutil.copytree(make_shards(10), folder)
    (folder / "set-000001.tar").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001\.tar is missing"):
        ShardSet.open(folder)
    (folder / "set-000001.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001.tar is missing.*_info.json lists it"):
        ShardSet.open(folder)
