"""A plain folder is read through the same interface as shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from shards import UserError, open_data


def test_plain_folder_reads_like_shards(photos: Path) -> None:
    """A table that names missing files is refused; without them the folder is read."""
    with pytest.raises(UserError, match=r"names 1 files that are not in it .*lost.png"):
        open_data(photos)
    text = (photos / "labels.csv").read_text().splitlines()
    (photos / "labels.csv").write_text("\n".join(line for line in text if "lost" not in line and "torn" not in line))
    data = open_data(photos)
    assert data.where(cls="a", group="1").n > 0
    sample, image = next(iter(data.images()))
    assert sample.attributes == {} or sample.attributes == {"sex": "f"}
    assert image.shape == (64, 64, 3)
