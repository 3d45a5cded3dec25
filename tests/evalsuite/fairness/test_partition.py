"""Groups in their natural order, and cells that know what is independent."""

from __future__ import annotations

import numpy as np

from evalsuite import selfcheck
from evalsuite.fairness.partition import everyone, group_data, partition
from evalsuite.selfcheck import Group


def test_groups_and_crossings_come_in_their_natural_order() -> None:
    """X is after IX for skin types and numbers, and only combinations that occur have a group."""
    own = selfcheck.table([Group("10", 4, 0.8), Group("9", 6, 0.8)], 0)
    own = own.with_group("sex", ["m", "m", "m", "m", "f", "f", "m", "m", "m", "m"])
    assert partition(own, ["fst"]).names == ("9", "10")
    both = partition(own, ["fst", "sex"])
    assert (both.column, both.names) == ("fst x sex", ("9 x f", "9 x m", "10 x m"))
    assert np.bincount(both.codes).tolist() == [2, 4, 4]
    assert np.bincount(everyone(own).codes).tolist() == [10]


def test_a_cell_counts_rows_and_clusters_of_each_class() -> None:
    """Three images of each patient: a third as many units as rows, where a patient has one class."""
    own = selfcheck.table([Group("I", 30, 0.8)], 0)
    order = np.argsort(own.labels, kind="stable")
    own = own.take(order)
    clusters = own.labels * 100 + np.concatenate([np.arange(n) // 3 for n in np.bincount(own.labels)])
    alone, clustered = (group_data(own, np.ones(own.n, bool), c) for c in (None, clusters))
    assert alone.units.tolist() == alone.counts.tolist() == np.bincount(own.labels).tolist()
    assert clustered.units.tolist() == [-(-n // 3) for n in clustered.counts.tolist()]
