"""The class of a row, and why it has none."""

from __future__ import annotations

import pytest

from shards.ingest.tables.labelling import class_of
from shards.ingest.tables.recipe import Recipe

ONEHOT = Recipe(onehot=("MEL", "NV", "BCC"))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1", "0", "0"), ("MEL", "")),
        (("0.0", "1.0", None), ("NV", "")),
        (("FALSE", "", "TRUE"), ("BCC", "")),
        (("0", "0", "0"), (None, "")),
        (("1", "0", "1"), (None, "is of several classes: MEL, BCC")),
        (("0.8", "0.1", "0.1"), (None, "has '0.8' in a column of a class; expected 0 or 1")),
        (("1", "0", "yes"), (None, "has 'yes' in a column of a class; expected 0 or 1")),
    ],
)
def test_one_hot_columns(cells: tuple[str | None, ...], expected: tuple[str | None, str]) -> None:
    assert class_of(dict(zip(ONEHOT.onehot, cells, strict=True)), None, ONEHOT) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("wart", ("wart", "")),
        ("NA", (None, "")),
        ("['wart', 'cyst']", (None, "has ['wart', 'cyst'] for a class; expected one word")),
        ('{"name": "wart"}', (None, 'has {"name": "wart"} for a class; expected one word')),
        ("[]", (None, "")),
    ],
)
def test_a_class_is_one_word(cell: str, expected: tuple[str | None, str]) -> None:
    assert class_of({"label": cell}, "label", Recipe()) == expected


def test_a_recipe_with_weights_takes_the_heaviest() -> None:
    assert class_of({"label": "{'wart': 0.2, 'cyst': 0.8}"}, "label", Recipe(weighted=True)) == ("cyst", "")
