"""`shards card` writes next to the shards, and replaces nothing unasked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shards_helpers import write_card


def test_a_card_that_is_there_is_not_replaced_unasked(
    shard_set: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    """Somebody may have written it by hand."""
    (shard_set / "README.md").write_text("mine")
    status, _, err = shards("card", shard_set, "--license", "mit")
    assert status == 2
    assert "--force" in err
    assert (shard_set / "README.md").read_text() == "mine"
    write_card(shard_set, "--force")
    assert (shard_set / "README.md").read_text() != "mine"


def test_the_same_card_again_changes_nothing(shard_set: Path) -> None:
    """So a command that was stopped half way can be run again."""
    written = write_card(shard_set)
    (shard_set / "README.md").unlink()
    assert write_card(shard_set) == written
    assert write_card(shard_set) == written
