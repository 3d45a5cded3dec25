"""Numbers and JSON in texts that other people wrote: what is no value is a `UserError`, never a traceback."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from dermforge.common.errors import UserError

_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def whole_number(text: str) -> int | None:
    """A number of 1 to 18 digits from 0 to 9, else None: `str.isdigit` also takes ² and ٣, and `int` not the former."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def number_of_bytes(text: str) -> int | None:
    """`123`, `8GB` or `8 GiB` (both 8 x 2^30), else None."""
    found = re.fullmatch(r"([0-9]{1,18}) ?([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    return int(found[1]) * _BYTES[found[2].upper()] if found else None


def bytes_from_environment(name: str, default: int) -> int:
    """The size that a variable of the environment says.

    Raises
    ------
    UserError
        It is no size.
    """
    text = os.environ.get(name) or str(default)
    if (size := number_of_bytes(text)) is None:
        raise UserError(f"{name}={text!r} is no size; expected a number of bytes, or as 8GiB")
    return size


def seconds_from_environment(name: str, default: float) -> float:
    """The time that a variable of the environment says, in seconds.

    Raises
    ------
    UserError
        It is no time.
    """
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text):
        raise UserError(f"{name}={text!r} is no time; expected seconds, as 10 or 0.5")
    return float(text)


def json_value(content: str | bytes) -> Any:
    """The value of a JSON document.

    Raises
    ------
    UserError
        It is no JSON, no UTF-8, or nested so deeply that Python cannot hold it.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise UserError("JSON that is nested too deeply") from error
    except ValueError as error:
        raise UserError(str(error)) from error
