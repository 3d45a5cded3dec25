"""Two tables of the same images are put into one order, or refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import Predictions
from evalsuite.fairness.same_images import in_order_of

N = 6


def table(order: list[int], source: str, classes: tuple[str, ...] = ("no", "yes")) -> Predictions:
    ids, labels = np.array([f"i{k}" for k in order]), np.array([k % 2 for k in order])
    probs = np.array([[1 - k / N, k / N] for k in order])
    return Predictions(ids, classes, labels, probs, pd.DataFrame({"g": [f"g{k}" for k in order]}), None, source)


@given(st.permutations(range(N)), st.permutations(range(N)))
def test_each_row_keeps_its_own_values(one: list[int], other: list[int]) -> None:
    ordered = in_order_of(table(one, "one"), table(other, "other"))
    assert ordered.ids.tolist() == [f"i{k}" for k in other]
    assert ordered.probs[:, 1].tolist() == [k / N for k in other]
    assert ordered.groups["g"].tolist() == [f"g{k}" for k in other]


def test_other_images_classes_or_labels_are_refused() -> None:
    with pytest.raises(UserError, match="hold different ids"):
        in_order_of(table([0, 1, 2], "one"), table([0, 1, 3], "other"))
    with pytest.raises(UserError, match="one: classes a, b; expected those of other: no, yes"):
        in_order_of(table([0, 1], "one", ("a", "b")), table([0, 1], "other"))
    wrong = table([0, 1], "one")
    wrong.labels[0] = 1
    with pytest.raises(UserError, match="different labels for ids i0"):
        in_order_of(wrong, table([0, 1], "other"))
