"""Locations as addresses and as paths."""

from __future__ import annotations

from pathlib import Path

from shards_helpers import CLASSES, items

from shards import ShardSet, Sidecar, write_shard


def test_addresses_that_were_taken_for_paths(bucket: str) -> None:
    """`Path("s3://b/x")` is s3:/b/x, and must still be read as an address."""
    from shards import open_data

    sidecar: Sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    assert str(Path(bucket)) != bucket
    assert open_data(Path(bucket)).n == sidecar.n
    assert [s.tar for s in ShardSet.open(Path(bucket)).sidecars] == [sidecar.tar]
