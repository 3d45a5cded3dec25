"""A sample must match its sidecar, byte by byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import write

from shards import CheckFailed, ShardSet
from shards.format.unpack import unpack


def test_truncation_while_open(make_shards: Callable[..., Path]) -> None:
    """A tar that shrinks while it is open raises an error; reading does not end early."""
    folder = make_shards(4)
    data = ShardSet.open(folder)
    os.truncate(folder / data.sidecars[0].tar, 4096)
    with pytest.raises(CheckFailed, match="its sidecar says"):
        list(data.samples())


def test_json_that_disagrees_is_named(tmp_path: Path) -> None:
    """The JSON of a sample must agree with its row in the sidecar."""
    sidecar = write(tmp_path, 1)
    row = sidecar.samples[0].model_copy(update={"group": "tan"})
    data = (tmp_path / sidecar.tar).read_bytes()[row.offset : row.offset + row.bytes]
    with pytest.raises(CheckFailed, match="says group 'light', the sidecar 'tan'"):
        unpack(data, row, "x.tar", True)
