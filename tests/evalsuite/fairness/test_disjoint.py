"""A test table that shares images or patients with another table is refused, and they are named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.fairness.disjoint import refuse_overlap, refuse_training_rows
from evalsuite.fairness.predictions import from_frame


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


def test_shared_ids_and_clusters_are_named(tmp_path: Path) -> None:
    """Overlap of test with validation or train is refused with the ids."""
    test = from_frame(table(), groups=["fst"], cluster="patient")
    other = table().assign(id=[f"v{k}" for k in range(12)])
    with pytest.raises(UserError, match=r"6 clusters .*p0, p1"):
        refuse_overlap(test, from_frame(other, groups=["fst"], cluster="patient"), "validation")
    other = other.assign(patient=[f"q{k}" for k in range(12)])
    refuse_overlap(test, from_frame(other, groups=["fst"], cluster="patient"), "validation")
    other.loc[3, "id"] = "i7"
    with pytest.raises(UserError, match=r"1 ids .*i7"):
        refuse_overlap(test, from_frame(other, groups=["fst"], cluster="patient"), "validation")
    other[["id"]].to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(UserError, match="i7"):
        refuse_training_rows(test, tmp_path / "train.csv")
