"""Words for splits in any case, and the split and class that folders name."""

from __future__ import annotations

import pytest

from shards.ingest.tables.splits import names_splits, split_and_class, split_of


def test_words_for_splits_in_any_case() -> None:
    words = ("TRAIN", "Training", "VAL", "valid", "Dev", "TEST ", "isic")
    assert [split_of(word) for word in words] == ["train", "train", *["validation"] * 3, "test", None]
    assert split_of("isic", "val", "train") == "validation"
    assert names_splits(["Train", None, "TEST"])
    assert not names_splits(["train", "1"])
    assert not names_splits([None])


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ((), (None, None)),
        (("nevus",), (None, "nevus")),
        (("Train", "nevus"), ("train", "nevus")),
        (("data", "VAL", "wart", "x"), ("validation", "x")),
        (("nevus", "test"), ("test", "nevus")),
        (("train",), ("train", None)),
    ],
)
def test_folders_name_split_and_class(folders: tuple[str, ...], expected: tuple[str | None, str | None]) -> None:
    assert split_and_class(folders) == expected
