"""Words that people may have meant to be the same."""

from __future__ import annotations

from collections.abc import Iterable


def alike(words: Iterable[str]) -> tuple[str, str] | None:
    """Two words that differ in case and spaces only, None where there are none."""
    seen: dict[str, str] = {}
    for word in sorted(words):
        first = seen.setdefault(" ".join(word.replace("_", " ").split()).casefold(), word)
        if first != word:
            return first, word
    return None
