"""A skin type that is known for some classes only is said; one that is missing by chance is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shards.ingest.write.missing_types import warning

SHARED = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).resolve().parents[4] / "shared"))


def test_types_known_for_one_class_only() -> None:
    said = warning(["nevus"] * 40 + ["bcc"] * 40, [None] * 40 + ["2"] * 39 + [None])
    assert "0% of nevus" in said
    assert "98% of bcc" in said


def test_false_alarms_are_rare() -> None:
    """Of 400 sets whose types are missing by chance, at most two are said to depend on the class (p < 0.001)."""
    random, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        labels = random.choice(list("abcd"), 200).tolist()
        alarms += bool(warning(labels, [None if one else "1" for one in random.random(200) < 0.4]))
    assert alarms <= 2


@pytest.mark.parametrize("groups", [[None] * 20, ["1"] * 20])
def test_all_or_none_is_no_dependence(groups: list[str | None]) -> None:
    assert warning(["a"] * 10 + ["b"] * 10, groups) == ""
    assert warning(["a"] * 20, ["1"] * 10 + [None] * 10) == ""


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published table is not there")
def test_pad_ufes_20() -> None:
    """Pacheco et al. 2020: every cancer has a type, most benign lesions have none."""
    table = pd.read_csv(SHARED / "data" / "pad-ufes-20" / "metadata.csv")
    said = warning(table["diagnostic"].tolist(), [None if v != v else str(v) for v in table["fitspatrick"]])
    assert "100% of" in said
    assert "of NEV" in said
