"""Several numbers in one option, such as 1,5,10."""

from __future__ import annotations

import math
from typing import TypeVar

from dermforge.common.errors import UserError

Number = TypeVar("Number", int, float)


def numbers(text: str | None, option: str, kind: type[Number], least: int) -> list[Number]:
    """The numbers of an option, separated by commas; none where nothing was given.

    Raises
    ------
    UserError
        It is no such list, or a number is less than `least`.

    Examples
    --------
    >>> numbers("1,2.5", "--ratios", float, 0)
    [1.0, 2.5]
    """
    try:
        found = [kind(word) for word in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(f"{option} {text!r}; expected numbers separated by commas, such as 1,5,10") from error
    if not all(least <= number < math.inf for number in found):
        raise UserError(f"{option} {text!r}; expected numbers from {least} on, such as 1,5,10")
    return found
