"""Odd numbers and deep JSON are refused in a line, wherever they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_helpers import call
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from dermforge.common.texts_as_values import (
    bytes_from_environment,
    json_value,
    number_of_bytes,
    seconds_from_environment,
    whole_number,
)
from gen.sampling.run_record import parse_worker

DEEP = "[" * 200_000


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    """And `I/N` of any text is a worker or a user's mistake."""
    found = whole_number(text)
    assert found is None or str(found) == (text.lstrip("0") or "0")
    number_of_bytes(text)
    with pytest.raises(UserError, match="expected I/N"):
        parse_worker(f"{text}/0")


@pytest.mark.parametrize("text", ["²/³", "0/³", "٠/٣", "1/" + "9" * 5000, "1/1", "-1/2", "1.0/2", "/", "1/2/3", " 0/1"])
def test_what_is_no_worker_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected I/N"):
        parse_worker(text)


def test_sizes_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, size in (("5", 5), ("8GiB", 8 << 30), ("8 GB", 8 << 30), ("2k", 2048), ("", 7)):
        monkeypatch.setenv("X", text)
        assert bytes_from_environment("X", 7) == size
    for text in ("8 apples", "²", "-1", "1e9"):
        monkeypatch.setenv("X", text)
        with pytest.raises(UserError, match=r"X=.* is no size"):
            bytes_from_environment("X", 7)
        with pytest.raises(UserError, match=r"X=.* is no time"):
            seconds_from_environment("X", 7)


@pytest.mark.parametrize("content", [DEEP, '{"a":' * 100_000, "", "{", b"\xff", "1" * 5000])
def test_json_that_is_none_is_a_users_mistake(content: str | bytes) -> None:
    with pytest.raises(UserError):
        json_value(content)
    assert json_value(json.dumps({"a": [1, None]})) == {"a": [1, None]}


def test_deep_json_in_files_of_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row of a table, a section of a report."""
    (tmp_path / "t.jsonl").write_text(DEEP + "\n")
    with pytest.raises(UserError, match=r"t\.jsonl, line 1: JSON that is nested too deeply"):
        read_table(tmp_path / "t.jsonl")
    (tmp_path / "section.json").write_text(DEEP)
    assert call(f"evalsuite report {tmp_path}") == 2
    assert "is not a report section" in " ".join(capsys.readouterr().err.split())
