"""Phantom shards for the commands that measure images."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_helpers import write_shards


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("sets")
    return {
        "train": write_shards(base / "train", 0, 2, "real"),
        "validation": write_shards(base / "validation", 1000, 2, "real"),
        "synthetic": write_shards(base / "synthetic", 2000, 2, "synthetic"),
    }
