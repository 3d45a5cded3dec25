"""Options that choose images, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shards import ShardSet, UserError
from shards.commands.conditions import choose, ids_of, names_of


def test_a_word_that_no_image_has_is_a_slip(make_shards: Callable[..., Path]) -> None:
    """A class of the set without images is no mistake."""
    data = ShardSet.open(make_shards(4))
    assert list(choose(data, ["nodule"], ["dark"], None, None).rows["id"]) == ["s-0003"]
    light = choose(data, ["macule"], ["light"], None, None)
    assert choose(light, ["nodule"], None, None, None).n == 0
    with pytest.raises(UserError, match=r"has the group 'pale'; there are dark, light"):
        choose(data, None, ["pale"], None, None)
    with pytest.raises(UserError, match="NAME=LEAST"):
        choose(data, None, None, None, None, ["quality"])


def test_ids_come_from_a_table_or_a_list(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\nb c\n")
    (tmp_path / "ids.csv").write_text("why,id\nx,a\ny,\nz,b\n")
    (tmp_path / "none.csv").write_text("name\na\n")
    assert ids_of(tmp_path / "ids.txt") == ["a", "b", "c"]
    assert ids_of(tmp_path / "ids.csv") == ["a", "b"]
    with pytest.raises(UserError, match="has no column of ids"):
        ids_of(tmp_path / "none.csv")
    with pytest.raises(UserError, match="no file"):
        ids_of(tmp_path / "lost.csv")


def test_a_list_of_names_is_a_table_or_lines_and_never_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "names.tsv").write_text("dx\tImage Name\nmel\ta.jpg\n")
    (tmp_path / "names.lst").write_text("\ufeffa.jpg\r\n\n  b (2).jpg \r\nNA\n")
    (tmp_path / "gaps.csv").write_text("image,n\na.jpg,1\nNA,2\n?,3\n")
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\x00")
    assert names_of(tmp_path / "names.tsv") == ["a.jpg"]
    assert names_of(tmp_path / "names.lst") == ["a.jpg", "b (2).jpg"]
    assert names_of(tmp_path / "gaps.csv") == ["a.jpg"]  # nobody's image is called NA
    with pytest.raises(UserError, match="neither a table"):
        names_of(tmp_path / "picture")
