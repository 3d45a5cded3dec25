"""How many images each class and skin type gets: the same, to balance real data, or more where a classifier errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing_code
from dermforge.common.tables import read_table

Cell = tuple[str, str | None]
Counts = dict[Cell, int]


def group_or_none(value: object) -> str | None:
    """The skin type in a table's cell; None where it is missing."""
    return None if is_missing_code(value) else str(value)


def uniform(classes: Sequence[str], groups: Sequence[str] | None, n: int) -> Counts:
    """The same number in every cell."""
    return {(label, group): n for label in classes for group in (groups or (None,))}


def balanced(real: pd.DataFrame, cells: Sequence[Cell], target: int | None = None) -> Counts:
    """As many images as bring every cell, real and synthetic together, to the same number.

    Parameters
    ----------
    real
        One row a real image, with `class` and `group`.
    target
        The number to reach; None for the number in the largest cell.
    """
    have = dict.fromkeys(cells, 0)
    for label, group in zip(real["class"], real["group"], strict=True):
        cell = (str(label), group_or_none(group))
        if cell not in have and (cell[0], None) in have:
            cell = (cell[0], None)
        if cell in have:
            have[cell] += 1
    goal = target if target is not None else max(have.values(), default=0)
    return {cell: max(0, goal - n) for cell, n in have.items()}


def from_table(path: Path) -> Counts:
    """Counts from a table with columns `class`, `n` and optionally `group`."""
    table = read_table(path)
    _need(table, path, ("class", "n"))
    counts: Counts = {}
    for row in table.to_dict("records"):
        cell = (str(row["class"]), group_or_none(row.get("group")))
        try:
            n = float(row["n"])
        except (TypeError, ValueError):
            n = -1.0
        if n < 0 or not n.is_integer() or cell in counts:
            raise UserError(f"{path}: cell {cell}: expected one row with n of 0 or more, got {row['n']!r}")
        counts[cell] = int(n)
    return counts


def from_errors(predictions: Path, cells: Sequence[Cell], total: int, floor: int, group: str = "group") -> Counts:
    """More images for the cells in which a classifier errs most, and at least `floor` for every cell.

    Above the floor, images are shared in proportion to the cell's error rate. One error in two images is added to each
    cell (Agresti and Coull), so that a few test images do not decide everything.

    Parameters
    ----------
    predictions
        A table of `id, label, prob_<class>..., group columns`.
    total
        Images in all.
    group
        The column that holds the skin type.

    Raises
    ------
    UserError
        For a table without these columns or with a probability missing, one that holds none of the cells, or a
        total below the floor of all cells.
    """
    if total < floor * len(cells):
        raise UserError(
            f"{total} images cannot give {len(cells)} cells {floor} each; "
            f"ask for {floor * len(cells)} or more, or lower the floor"
        )
    table = read_table(predictions)
    grouped = any(g is not None for _, g in cells)
    _need(table, predictions, ("label", *((group,) if grouped else ())))
    columns = [c for c in table.columns if str(c).startswith("prob_")]
    if not columns:
        raise UserError(f"{predictions} has no prob_<class> columns; expected a predictions table")
    try:
        probabilities = table[columns].to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f"{predictions}: a prob_<class> column holds something other than numbers ({error})") from error
    if bad := int((~np.isfinite(probabilities)).any(axis=1).sum()):
        raise UserError(f"{predictions}: {bad} of {len(table)} rows lack a probability; expected one for each class")
    best = probabilities.argmax(axis=1)
    guess = np.array([str(c).removeprefix("prob_") for c in columns])[best]
    wrong = guess != table["label"].astype(str).to_numpy()
    groups = (
        np.array([group_or_none(value) for value in table[group]], dtype=object)
        if grouped
        else np.full(len(table), None)
    )
    labels = table["label"].astype(str).to_numpy()
    rates: dict[Cell, float] = {}
    seen = 0
    for label, member in cells:
        mine = (labels == label) & (groups == member if grouped else True)
        seen += int(mine.sum())
        rates[(label, member)] = (float(wrong[mine].sum()) + 1) / (int(mine.sum()) + 2)
    if not seen:
        raise UserError(
            f"{predictions} holds none of the cells asked for: its first is {labels[:1].tolist()} "
            f"{groups[:1].tolist()}, and the plan's {list(cells[0])}; name cells as the predictions do"
        )
    extra = largest_remainder(rates, total - floor * len(cells))
    return {cell: floor + extra[cell] for cell in cells}


def largest_remainder(weights: Mapping[Cell, float], total: int) -> Counts:
    """Share whole numbers in proportion to weights, exactly; ties go to the cell that is named first."""
    whole = sum(weights.values())
    exact = {cell: total * weight / whole for cell, weight in weights.items()}
    shares = {cell: int(value) for cell, value in exact.items()}
    order = sorted(exact, key=lambda cell: shares[cell] - exact[cell])  # stable: ties keep their order
    for cell in order[: total - sum(shares.values())]:
        shares[cell] += 1
    return shares


def _need(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    if missing := [c for c in columns if c not in table.columns]:
        raise UserError(f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}")
