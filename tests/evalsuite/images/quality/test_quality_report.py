"""A shifted set is bad and an equal one good; tables for readers lose nothing."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_helpers import features

from evalsuite.images.quality import quality_report as quality_report_module
from evalsuite.images.quality.quality_report import by_cell, quality_report
from evalsuite.images.quality.quality_table import NONE
from evalsuite.page.image_check import frame_table


def test_a_shifted_set_is_further_than_the_floor_and_an_equal_one_is_not() -> None:
    real = features(300)
    for shift, further in ((0.0, False), (1.0, True)):
        report = quality_report([(real, features(300, shift=shift, seed=1))], resamples=20)
        cells: Any = report.cells.set_index(["family", "metric"])
        distance, floor = (cells.loc[[(family, "KD[plain]")]].iloc[0] for family in ("overall", "floor"))
        assert (distance["low"] > floor["high"]) is np.bool_(further)
        assert report.status == ("bad" if further else "good"), report.sentence


def test_every_synthetic_image_has_a_row() -> None:
    real, synthetic = features(60), features(50, seed=1)
    frame = quality_report([(real, synthetic)], resamples=5).images
    assert frame["id"].tolist() == synthetic.frame["id"].tolist()
    expected = np.sqrt(((synthetic.values[0] - real.values) ** 2).sum(1)).min()
    assert frame["nearest_real[plain]"].iloc[0] == pytest.approx(expected, rel=1e-5)


def test_a_report_has_a_row_a_cell_and_a_column_a_metric() -> None:
    """Nothing is lost on the way from the long table: values with intervals, n, and why one is missing."""
    nan = np.nan
    rows = [
        ("overall", "all", "KD", 0.5, 0.4, 0.6, 90, ""),
        ("overall", "all", "FD", nan, nan, nan, 90, "rank"),
        ("class", "a", "KD", 0.25, 0.2, 0.3, 40, ""),
        ("class", "a", "FD", 1.0, nan, nan, 30, ""),
        ("class", "b", NONE, nan, nan, nan, 3, "too few"),
    ]
    long = pd.DataFrame(rows, columns=["family", "cell", "metric", "value", "low", "high", "n", "note"])
    shown = by_cell(long)
    assert shown.columns.tolist() == ["cell", "n", "KD", "FD", "remark"]
    assert shown["cell"].tolist() == ["all", "a", "b"]
    assert shown["n"].tolist() == ["90", "30 to 40", "3"]
    assert shown["KD"].tolist()[:2] == ["0.5 (0.4 to 0.6)", "0.25 (0.2 to 0.3)"]
    assert shown["FD"].tolist()[:2] == ["not enough data", "1"]
    assert shown["remark"].tolist() == ["rank", "", "too few"]
    assert frame_table(shown, "c").rows[2] == ["b", "3", "not enough data", "not enough data", "too few"]


def test_the_example_runs() -> None:
    assert doctest.testmod(quality_report_module).failed == 0
