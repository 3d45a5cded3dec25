"""The numbers of a user's table of predictions, checked: probabilities that sum to one, and weights of rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import DataWarning, UserError
from evalsuite.fairness.own_columns import some
from shards.ingest.tables.columns import folded

SUM_TOLERANCE = 0.01  # a table written with three decimals and a hundred classes still passes
ROUNDING = 1e-6  # how far below 0 a program's softmax may end
#: Names of a column of survey or sampling weights, folded.
_WEIGHTS = frozenset(
    {"weight", "weights", "sampleweight", "sampleweights", "samplingweight", "surveyweight", "pweight", "caseweight"}
)


def probabilities(frame: pd.DataFrame, ids: NDArray[np.str_], source: str) -> NDArray[np.floating]:
    """The columns as float64 [n, k], rows summing to one.

    Raises
    ------
    UserError
        Text, a value outside 0 to 1 by more than rounding, or a row that does not sum to 1.
    """
    values: NDArray[np.floating] = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64, copy=True)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise UserError(
            f"{source}: NaN, infinity or text among the probabilities of {bad.sum()} rows (ids {some(ids[bad])}); "
            "expected numbers from 0 to 1"
        )
    bad = ((values < -ROUNDING) | (values > 1 + SUM_TOLERANCE)).any(axis=1)
    if bad.any():
        raise UserError(
            f"{source}: a probability outside 0 to 1 in {bad.sum()} rows (ids {some(ids[bad])}); "
            "give softmax outputs, not logits or percent"
        )
    values = np.maximum(values, 0.0)
    totals = values.sum(axis=1)
    bad = np.abs(totals - 1) > SUM_TOLERANCE
    if bad.any():
        raise UserError(
            f"{source}: probabilities sum to {totals[bad][0]:.4g} instead of 1 in {bad.sum()} rows "
            f"(ids {some(ids[bad])}); give the softmax over all classes"
        )
    rounded = np.abs(totals - 1) > 1e-6
    values[rounded] /= totals[rounded, None]
    return values


def row_weights(column: pd.Series, ids: NDArray[np.str_], source: str) -> NDArray[np.floating]:
    """Survey or sampling weights as float64, [n]: as given, all above 0.

    A row of weight 0 stands for nobody, and would still count among the images that a number rests on.

    Raises
    ------
    UserError
        Text, a missing weight, or one of 0 or below.
    """
    values: NDArray[np.floating] = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, copy=True)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise UserError(
            f"{source}: no number, or one below 0, as the {column.name} of {bad.sum()} rows (ids {some(ids[bad])}); "
            "expected how many people a row stands for"
        )
    if not values.all():
        raise UserError(
            f"{source}: the {column.name} of {(values == 0).sum()} rows is 0 (ids {some(ids[values == 0])}); "
            "expected how many people a row stands for: drop the rows that stand for nobody"
        )
    return values


def warn_of_weights(names: Sequence[str], used: Sequence[str], source: str) -> list[str]:
    """Columns that are called weights and have no use here; a `DataWarning` says that every row counts alike."""
    unused = [name for name in names if folded(name) in _WEIGHTS and name not in used]
    if unused:
        warnings.warn(
            f"{source}: the column {unused[0]!r} is not used as a weight; every row counts alike",
            DataWarning,
            stacklevel=2,
        )
    return unused
