"""Small shards of noise, so that no test waits for drawings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import ShardSetWriter


@pytest.fixture(scope="session")
def make_shards(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write n samples to a new folder; options as `items`."""

    def make(n: int, shard_size: int = 5, name: str = "set", folder: Path | None = None, **more: object) -> Path:
        folder = folder or tmp_path_factory.mktemp("shards")
        with ShardSetWriter(folder, name, classes=CLASSES, shard_size=shard_size, fsync=False) as writer:
            for item in items(n, **more):
                writer.add(*item)
        return folder

    return make
