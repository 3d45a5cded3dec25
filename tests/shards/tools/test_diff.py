"""Two sets are compared id by id, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shards_helpers import CLASSES, items

from shards import ShardSet, decode_image, encode_image, write_shard
from shards.tools.diff import diff


def test_ids_images_and_records_that_differ(tmp_path: Path) -> None:
    """The difference of the pixels is measured only on request."""
    one, two = items(5)[:4], items(5)[1:]
    sample, image, ext = two[0]
    brighter = np.minimum(decode_image(image).astype(int) + 7, 255).astype(np.uint8)
    two[0] = (sample, encode_image(brighter), ext)
    two[1] = (two[1][0].model_copy(update={"split": "test"}), *two[1][1:])
    for name, content in (("a", one), ("b", two)):
        write_shard(tmp_path / name, "set", 0, content, classes=CLASSES)
    first, second = (ShardSet.open(tmp_path / name) for name in "ab")
    found = diff(first, second, pixels=True)
    assert (found.only_first, found.only_second) == (["s-0000"], ["s-0004"])
    assert (found.images, found.records, found.largest) == (["s-0001"], ["s-0002"], 7)
    assert not found.same
    assert np.isnan(diff(first, second).largest)
    assert diff(first, first).same


@pytest.mark.parametrize("size", [8, 20])
def test_images_of_other_sizes_differ_by_all(tmp_path: Path, size: int) -> None:
    write_shard(tmp_path / "a", "set", 0, items(1, size=12), classes=CLASSES)
    write_shard(tmp_path / "b", "set", 0, items(1, size=size), classes=CLASSES)
    assert diff(ShardSet.open(tmp_path / "a"), ShardSet.open(tmp_path / "b"), pixels=True).largest == 255
