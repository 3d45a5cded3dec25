"""What is written can be read by others: flat columns, plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.images.artifacts import flatten, write_json, write_table
from evalsuite.stats.estimate import Estimate, missing

FRAME = pd.DataFrame({"cell": ["a", "b"], "rate": [Estimate(0.5, 0.4, 0.6, 9), missing(0, "none")]})


def test_an_estimate_becomes_three_columns(tmp_path: Path) -> None:
    flat = flatten(FRAME)
    assert flat.columns.tolist() == ["cell", "rate", "rate_low", "rate_high"]
    assert flat.iloc[0].tolist() == ["a", 0.5, 0.4, 0.6]
    for name in ("t.csv", "t.parquet"):
        write_table(FRAME, tmp_path / name)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet"))
    with pytest.raises(UserError, match=r"expected \.parquet or \.csv"):
        write_table(FRAME, tmp_path / "t.txt")


def test_json_is_plain_and_undefined_is_null(tmp_path: Path) -> None:
    write_json({"table": FRAME, "n": np.int64(3), "x": np.nan, 1: (np.inf, "s")}, tmp_path / "j.json")
    found = json.loads((tmp_path / "j.json").read_text())
    assert found["table"][1] == {"cell": "b", "rate": None, "rate_low": None, "rate_high": None}
    assert (found["n"], found["x"], found["1"]) == (3, None, [None, "s"])
