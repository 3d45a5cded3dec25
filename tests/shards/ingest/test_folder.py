"""A plain folder reads like shards; names that are not clear are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from shards_helpers import picture

from shards import UserError, open_data
from shards.format.images import encode_image
from shards.ingest.importing import find
from shards.ingest.make import Splitting, make


def test_plain_folder_reads_like_shards(photos: Path) -> None:
    """`open_data` gives the same interface; a table that names lost files is refused."""
    with pytest.raises(UserError, match=r"names 1 files that are not in .*lost.png"):
        open_data(photos)
    text = (photos / "labels.csv").read_text().splitlines()
    (photos / "labels.csv").write_text("\n".join(line for line in text if "lost" not in line and "torn" not in line))
    data = open_data(photos)
    assert data.where(cls="a", group="1").n > 0
    sample, image = next(iter(data.images()))
    assert sample.attributes == {} or sample.attributes == {"sex": "f"}
    assert image.shape == (64, 64, 3)


def test_names_in_tables(tmp_path: Path) -> None:
    """A name that two files have, or that leads out of the folder, is dropped with the reason, not guessed."""
    folder = tmp_path / "in"
    for i, part in enumerate("ab"):
        (folder / part).mkdir(parents=True)
        (folder / part / "same.png").write_bytes(encode_image(picture(i)))
    (tmp_path / "out.png").write_bytes(encode_image(picture(5)))
    lines = ["file,class", "same.png,x", "../out.png,x", f"{tmp_path}/out.png,x", "a/same.png,x"]
    (folder / "table.csv").write_text("\n".join(lines))
    made = make(find(folder, None, None, {}), tmp_path / "made", Splitting({"train": 1.0}))
    assert made.written == {"train": 1}
    assert "give its path in" in dict(made.dropped)["same"]
    assert "points outside" in dict(made.dropped)["out"]
    with pytest.raises(UserError, match="may mean"):
        open_data(folder)
