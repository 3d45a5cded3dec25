"""`shards make`: its options reach the library, and its summary adds up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from shards import ShardSet


def test_make_reports_what_it_wrote_and_dropped(
    photos: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("make", photos, "--out", tmp_path / "out", "--size", 32, "--format", "jpg", "--split", "1,0,1", "--json")
    status, out, _ = shards(*words)
    made = json.loads(out)
    assert (status, len(made["dropped"]), made["clusters"]) == (0, 3, 20)
    assert sum(made["written"].values()) == 41
    assert set(made["written"]) == {"train", "test"}
    data = ShardSet.open(tmp_path / "out" / "train")
    assert data.row(0).ext == "jpg"
    assert min(data.image_at(0)[1].shape[:2]) == 32
