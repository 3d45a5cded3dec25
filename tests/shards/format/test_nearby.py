"""Whoever names the folder above is told the folders below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from shards import ShardSet, open_data
from shards.format.nearby import no_shards, sets_below
from shards.tools.verify import verify


@pytest.fixture
def data(tmp_path: Path, make_shards: Callable[..., Path]) -> Path:
    """As `shards make` leaves it."""
    for split in ("train", "test"):
        make_shards(3, name=split, folder=tmp_path / "data" / split)
    (tmp_path / "data" / "_dropped.csv").write_text("name,why\n")
    return tmp_path / "data"


@pytest.mark.parametrize("reader", [ShardSet.open, open_data, verify])
def test_the_sets_below_are_named(data: Path, reader: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match=f"{data}.*, but {data}/test, {data}/train .*give one") as found:
        reader(data)
    assert "shards make" not in str(found.value)


def test_the_sets_below_an_address_are_named(data: Path) -> None:
    assert sets_below(f"file://{data}") == [f"file://{data}/train", f"file://{data}/test"]


def test_where_there_are_none_the_command_that_makes_some_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "`shards make` turns images into shards" in no_shards(tmp_path)


@pytest.mark.parametrize("command", ["info", "ls", "verify", "sheet"])
def test_commands_say_so(command: str, data: Path, shards: Callable[..., tuple[int, str, str]]) -> None:
    status, _, said = shards(command, data)
    assert status == 2
    assert f"{data}/train" in said
