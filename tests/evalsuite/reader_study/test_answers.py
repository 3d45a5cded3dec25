"""Every answer that was acknowledged is there, none is invented, wherever a writer was stopped."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from evalsuite.reader_study import answers
from evalsuite.reader_study.answers import COLUMNS
from evalsuite.reader_study.blinded_set import RESPONSES


def row(item: str, reader: str = "ann") -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "x,y") | {"reader": reader, "item": item}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for item in ("q1", "q2"):
        answers.append(tmp_path, row(item))
    return tmp_path / RESPONSES / "ann.csv"


def test_a_row_that_was_torn_anywhere_is_not_there(file: Path, tmp_path: Path) -> None:
    """And the next answer is a row of its own, never glued to it; also where the first line was torn."""
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        kept = max(0, whole[:cut].count(b"\n") - 1)
        assert sorted(answers.answered(tmp_path, "ann")) == ["q1", "q2"][:kept]
        answers.append(tmp_path, row("q3"))
        assert list(answers.read(file)["item"]) == [*["q1", "q2"][:kept], "q3"]
        assert set(answers.read(file)["reader"]) == {"ann"}


def test_a_full_disk_leaves_the_file_as_it_was(file: Path, tmp_path: Path) -> None:
    whole, usual = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, usual[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            answers.append(tmp_path, row("q3"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("line", ["ann,q3", "bob,q3,a,b,c,1,2", "ann,q3,a,b,c,1,2,ann,q4"])
def test_a_line_that_is_no_answer_is_named(file: Path, line: str) -> None:
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"ann\.csv, line 4.*correct or remove the line"):
        answers.read(file)


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / RESPONSES).mkdir()
    (tmp_path / RESPONSES / "ann.csv").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        answers.append(tmp_path, row("q1"))
    assert (tmp_path / "other").read_text() == ""
