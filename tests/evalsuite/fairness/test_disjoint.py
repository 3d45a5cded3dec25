"""A test table that shares images or patients with another table is refused, and they are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from predictions_helpers import table

from dermforge.common.errors import UserError
from evalsuite.fairness.disjoint import refuse_overlap, refuse_training_rows
from evalsuite.fairness.predictions import from_frame


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
