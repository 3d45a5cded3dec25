"""The guidelines by name. Nothing heavy is imported, so that the command's help comes at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from dermforge.common.errors import UserError

Guideline = Literal["claim2024", "tripod-ai", "stard-ai", "mi-claim-gen", "clear-derm", "fda-7c"]
GUIDELINES: tuple[Guideline, ...] = get_args(Guideline)


def known(words: Iterable[str]) -> list[Guideline]:
    """Names as they are given, each once.

    Raises
    ------
    UserError
        One is no guideline's.
    """
    by_name: dict[str, Guideline] = {name: name for name in GUIDELINES}
    wrong = next((word for word in words if word not in by_name), None)
    if wrong is not None:
        raise UserError(f"no guideline {wrong!r}; expected {', '.join(GUIDELINES)}")
    return [by_name[word] for word in dict.fromkeys(words)]
