"""Simulated reader studies and rare groups: a few tables of each, and no interval far below its level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.suites.statistics.reader_studies import Judge, rare_group, reader_study


@pytest.mark.parametrize(
    ("judge", "tables"),
    [
        (reader_study(3, 60), 40),
        (reader_study(5, 100, 4), 20),
        (rare_group(20, 200, 0.8, 0.8, -0.2), 300),
        (rare_group(40, 400, 0.95, 0.95, 0.0), 300),
    ],
    ids=["3 readers", "5 readers, ratings of 0 to 4", "20 labels", "40 labels"],
)
def test_intervals_hold(judge: Judge, tables: int) -> None:
    rng = np.random.default_rng(0)
    held = [all(judge(rng).values()) for _ in range(tables)]
    assert np.mean(held) >= 0.95 - 3.5 * math.sqrt(0.95 * 0.05 / tables)
