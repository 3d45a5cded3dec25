"""A fact: a sentence with its numbers, and the artefact that it was read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """`text` ends in a full stop; `source` names the folder and the record."""

    text: str
    source: str


def listed(words: list[str], most: int = 12) -> str:
    """Words with commas; of many the first ones and how many more there are."""
    more = [f"{len(words) - most} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more])


def column_word(column: str) -> str:
    """A column of groups as a reader knows it: `group` holds the skin type."""
    return "skin type" if column == "group" else column
