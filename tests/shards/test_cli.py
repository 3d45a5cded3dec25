"""The `shards` command as a whole: its help and its errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ls", "{}", "--class", "wart"], "there are macule, nodule"),
        (["ls", "{}/none"], "is not a folder"),
        (["select", "{}", "--out", "{}/o", "--min-score", "x"], "NAME=LEAST"),
        (["purge", "{}", "--parent", "../x"], "is not an id"),
        (["make", "{}/none", "--out", "{}/o"], "there is no"),
        (["verify", "{}/none"], "is not a folder"),
        (["select", "{}", "--out", "{}/o", "--group", "dark", "--class", "none"], "there are macule, nodule"),
        (["repair", "{}", "--out", "{}"], "give another one"),
        (["sheet", "{}", "--out", "{}/o/x.png"], "is not a folder"),
        (["make", "{}", "--out", "{}/o", "--split", "1,2"], "three shares"),
        (["repair", "{}/none", "--out", "{}/o"], "is not a folder"),
        (["make", "{}", "--out", "{}/o", "--preset", "isic"], "expected bcn20000"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    make_shards: Make, shards: Callable[..., tuple[int, str, str]], words: list[str], message: str
) -> None:
    """The error names what was got and what was expected, and nothing is written."""
    folder = make_shards(6)
    status, _, err = shards(*(word.format(folder) for word in words))
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "o").exists()


@pytest.mark.parametrize(
    "command", ["make", "info", "ls", "verify", "diff", "select", "regenerate", "purge", "repair", "sheet"]
)
def test_help_has_an_example(shards: Callable[..., tuple[int, str, str]], command: str) -> None:
    status, out, _ = shards(command, "--help")
    assert status == 0
    assert f"shards {command}" in out.split("Example:")[1]
