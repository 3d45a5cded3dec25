"""Tables of predictions."""

from __future__ import annotations

import pandas as pd


def table(n: int = 12) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(n)],
            "label": ["a", "b"] * (n // 2),
            "prob_a": 0.25,
            "prob_b": 0.75,
            "fst": ["1", "2", "3"] * (n // 3),
            "patient": [f"p{k // 2}" for k in range(n)],
        }
    )
