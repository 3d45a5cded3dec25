"""The words with which data sets name their splits."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shards.format.schema import SPLITS

_WORDS = {name: name for name in SPLITS} | {
    "training": "train",
    "trn": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "development": "validation",
    "testing": "test",
    "tst": "test",
    "eval": "test",
}


def split_of(*words: str | None) -> str | None:
    """The split that the first word with such a meaning names, in any case; None if there is none."""
    return next((_WORDS[key] for word in words if (key := (word or "").strip().casefold()) in _WORDS), None)


def names_splits(words: Collection[str | None]) -> bool:
    """Whether these cells of a column name splits, all that are filled."""
    filled = {word for word in words if word}
    return bool(filled) and all(split_of(word) for word in filled)


def split_and_class(folders: Sequence[str]) -> tuple[str | None, str | None]:
    """The split and the class that the folders above an image name: the first split word, the last other folder."""
    at = next((i for i, folder in enumerate(folders) if split_of(folder)), None)
    if at is None:
        return None, folders[-1] if folders else None
    labels = [*folders[at + 1 :]] or [*folders[:at]]
    return split_of(folders[at]), labels[-1] if labels else None
