"""Names of files, columns and splits in other data sets; ambiguous ones are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards_helpers import metadata, picture

from shards import UserError, open_data
from shards.format.images import encode_image
from shards.format.schema import ID_PATTERN
from shards.ingest.files.naming import unique_ids
from shards.ingest.importing import Labels, find
from shards.ingest.tables.splits import split_of
from shards.ingest.write.make import Splitting, make


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"file_name": "0.png", "label": "a"}\n{"file_name": ', r"metadata\.jsonl, line 2: .*expected a JSON object"),
        ('["0.png"]\n', r"metadata\.jsonl, line 1: \[\"0\.png\"\]; expected a JSON object"),
        ('{"picture": "0.png"}\n', r"has no column file_name .*\(it has picture\)"),
        ("", r"has no column file_name .*\(it has no rows\)"),
        (b"\xff\xfe", "cannot read the table"),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path: Path, content: str | bytes, message: str) -> None:
    """The error names the line; labels are not taken from the folder instead."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "metadata.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        list(find(tmp_path))


def test_two_tables_and_columns_without_a_table(tmp_path: Path) -> None:
    """With several tables, or a column that no table has, nothing is guessed."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "0.png").write_bytes(encode_image(picture(0)))
    with pytest.raises(UserError, match=r"no table in .* has the columns pic; name the table to use"):
        list(find(tmp_path / "in", Labels(columns={"file": "pic"})))
    for suffix in (".csv", ".jsonl"):
        metadata(tmp_path / "in" / f"metadata{suffix}", [{"file_name": "a/0.png", "label": "x"}])
    with pytest.raises(UserError, match=r"several tables \(metadata\.csv, metadata\.jsonl\); name the one"):
        list(find(tmp_path / "in"))
    (found,) = find(tmp_path / "in", Labels(tmp_path / "in" / "metadata.jsonl"))
    assert found.facts["class"] == "x"


def test_names_in_tables(tmp_path: Path) -> None:
    """A name of two files, or one that points outside the folder, is dropped with the reason."""
    folder = tmp_path / "in"
    for i, part in enumerate("ab"):
        (folder / part).mkdir(parents=True)
        (folder / part / "same.png").write_bytes(encode_image(picture(i)))
    (tmp_path / "out.png").write_bytes(encode_image(picture(5)))
    lines = ["file,class", "same.png,x", "../out.png,x", f"{tmp_path}/out.png,x", "a/same.png,x"]
    (folder / "table.csv").write_text("\n".join(lines))
    made = make(find(folder, Labels(least_found=0)), tmp_path / "made", Splitting({"train": 1.0}))
    assert made.written == {"train": 1}
    assert "give its path in" in dict(made.dropped)["same.png"]
    assert "points outside" in dict(made.dropped)["../out.png"]
    with pytest.raises(UserError, match="may mean"):
        open_data(folder)


@given(st.lists(st.text(min_size=1, max_size=120), unique=True, max_size=20))
def test_ids_are_valid_and_apart(names: list[str]) -> None:
    """For names of any characters and any length."""
    ids = unique_ids(names)
    assert len(set(ids)) == len(names)
    assert all(re.match(ID_PATTERN, one) for one in ids)


def test_the_first_word_that_names_a_split_counts() -> None:
    assert split_of("isic", "val", "train") == "validation"
    assert split_of(None, "", "fold 1") is None
