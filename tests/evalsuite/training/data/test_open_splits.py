"""Training reads what `shards make --out s3://` wrote."""

from __future__ import annotations

from pathlib import Path

from evalsuite.training.data.open_splits import open_splits
from shards import ShardSet, open_data
from shards.tools.select import select


def test_the_three_parts_come_from_a_bucket(bucket: str, phantom_shards: Path) -> None:
    """An address that went through `Path`, as the commands take it; or one set whose samples name their part."""
    for part in ("train", "validation", "test"):
        select(ShardSet.open(phantom_shards / part), f"{bucket}/{part}", part)
    splits = open_splits(Path(bucket))
    assert (splits.train.n, splits.validation.n, splits.test.n) == (72, 36, 72)
    assert open_data(Path(bucket) / "test").n == 72
    for part in ("train", "validation", "test"):
        select(ShardSet.open(phantom_shards / part), f"{bucket}-whole", part)
    assert open_splits(Path(f"{bucket}-whole")).validation.n == 36
