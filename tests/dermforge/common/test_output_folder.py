"""A folder that somebody else made is never written into."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim, claim_names


@pytest.mark.parametrize("names", [[], ["record.json", "notes.txt"], ["cache"], [".x.tar.0a1b.tmp"]])
def test_an_empty_or_an_own_folder_is_free(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    claim(tmp_path, "ours", ["record.*"], ["cache"])
    claim(tmp_path / "new", "ours", ["record.*"])


@pytest.mark.parametrize("names", [["notes.txt"], ["cache", "notes.txt"], [".git"]])
def test_a_strange_file_is_named(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UserError, match=rf"a/place holds {names[-1]} and is not ours"):
        claim_names("a/place", names, "ours", ["record.*"], ["cache"])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        claim(tmp_path / "file", "ours", [])


def test_a_folder_that_lost_its_name_has_it_again(tmp_path: Path) -> None:
    """As a process leaves it that is killed between two renames, where names cannot be exchanged."""
    (tmp_path / ".out.whole-999999").mkdir()
    (tmp_path / ".out.whole-999999" / "record.json").touch()
    claim(tmp_path / "out", "ours", ["record.*"])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
