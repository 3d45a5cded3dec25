"""Average precision: scikit-learn's value, the jackknife by its definition, the variance it is meant to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from evalsuite.stats import average_precision

LEVELS = st.integers(0, 6).map(lambda level: level / 6)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(LEVELS, st.booleans()), min_size=6, max_size=24).filter(
        lambda rows: 2 <= sum(hit for _, hit in rows) <= len(rows) - 2
    )
)
def test_equals_the_definition(rows: list[tuple[float, bool]]) -> None:
    """Value, and the variance of leaving out one positive or one negative at a time; ties are many here."""
    scores, positive = np.array([s for s, _ in rows]), np.array([hit for _, hit in rows])
    value, influences = average_precision.influence(scores, positive)
    assert value == pytest.approx(average_precision_score(positive, scores), abs=1e-9)
    expected = 0.0
    for side in (positive, ~positive):
        left = [average_precision_score(np.delete(positive, i), np.delete(scores, i)) for i in np.flatnonzero(side)]
        expected += (len(left) - 1) / len(left) * float(np.square(left - np.mean(left)).sum())
    assert float(np.square(influences).sum()) == pytest.approx(expected, abs=1e-9)


def test_one_row_on_a_side_adds_nothing_and_none_is_undefined() -> None:
    """Without positives there is no value; where one side has one row or none, that side says nothing of the error."""
    scores = np.array([0.1, 0.4, 0.3, 0.8])
    value, influences = average_precision.influence(scores, np.array([False, False, True, False]))
    assert value == pytest.approx(1 / 3)
    assert influences[2] == 0
    assert np.isnan(average_precision.influence(scores, np.zeros(4, bool))[0])
    assert np.isnan(average_precision.influence(scores, np.zeros(4, bool))[1]).all()
    value, influences = average_precision.influence(scores, np.ones(4, bool))
    assert (value, influences.tolist()) == (1.0, [0.0] * 4)


@pytest.mark.parametrize(("n", "positives"), [(30, 15), (100, 50), (100, 20), (600, 300)])
def test_the_variance_is_that_of_new_tables(n: int, positives: int) -> None:
    """Within 8 % of the variance over 3,000 tables (its error: 2.6 %); the bootstrap showed 10 % less at 50 of 100."""
    rng, positive = np.random.default_rng(n + positives), np.arange(n) < positives
    found = [average_precision.influence(rng.normal(size=n) + positive, positive) for _ in range(3000)]
    seen = np.mean([float(np.square(influences).sum()) for _, influences in found])
    assert seen == pytest.approx(np.var([value for value, _ in found]), rel=0.08)


def test_few_rows_that_bring_the_variance_are_few_degrees() -> None:
    """Even shares give many, one row that brings all gives the least; copies within a cluster are summed first."""
    rng = np.random.default_rng(0)
    even = rng.normal(size=400)
    assert average_precision.degrees(even) == pytest.approx(400, rel=0.3)
    assert average_precision.degrees(np.r_[1.0, -1.0, np.zeros(98)]) == 6
    assert average_precision.degrees(np.zeros(10)) == np.inf
    assert average_precision.degrees(np.tile(even, 2), np.tile(np.arange(400), 2)) == pytest.approx(
        average_precision.degrees(even)
    )
