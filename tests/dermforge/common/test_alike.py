"""Words that differ in case and spaces only are found."""

from __future__ import annotations

import pytest

from dermforge.common.alike import alike


@pytest.mark.parametrize(
    ("words", "pair"),
    [
        (["nevus", "Nevus", "mel"], ("Nevus", "nevus")),
        (["basal cell", "basal_cell"], ("basal cell", "basal_cell")),
        (["wart ", "wart"], ("wart", "wart ")),
        (["nevus", "naevus"], None),
        ([], None),
    ],
)
def test_words_that_are_alike(words: list[str], pair: tuple[str, str] | None) -> None:
    assert alike(words) == pair
