"""JSON of what the library returns."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from dermforge.common.as_json import document, plain


@dataclass(frozen=True)
class Pair:
    name: str
    values: tuple[float, ...]


def test_numbers_of_numpy_and_what_is_not_finite_become_plain() -> None:
    """JSON has no NaN and no infinity."""
    value = {
        1: np.float32(0.5),
        "flag": np.bool_(True),
        "array": np.array([1, 2]),
        "pair": Pair("a", (1.0, math.nan, math.inf)),
        "text": "ab",
    }
    expected = {
        "1": 0.5,
        "flag": True,
        "array": [1, 2],
        "pair": {"name": "a", "values": [1.0, None, None]},
        "text": "ab",
    }
    assert plain(value) == expected
    assert json.loads(document(value)) == expected
    assert document({"b": 1, "a": 2}) == '{\n  "a": 2,\n  "b": 1\n}\n'
