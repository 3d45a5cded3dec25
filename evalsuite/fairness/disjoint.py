"""Refuses a test table that shares images or patients with another table."""

from __future__ import annotations

from pathlib import Path

from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing
from dermforge.common.tables import read_table
from evalsuite.fairness.predictions import Predictions, some, texts


def refuse_overlap(test: Predictions, other: Predictions, role: str) -> None:
    """Refuse when the test table shares an id or a cluster with the `role` table (train, validation)."""
    _refuse_shared(set(test.ids) & set(other.ids), "id", test, other.source, role)
    if test.clusters is not None and other.clusters is not None:
        _refuse_shared(set(test.clusters) & set(other.clusters), "cluster", test, other.source, role)


def refuse_training_rows(test: Predictions, path: Path, cluster: str | None = None, id: str = "id") -> None:
    """Refuse when the test table shares an id or a cluster with a training list: any table with the column `id`."""
    frame = read_table(Path(path))
    if id not in frame.columns:
        raise UserError(f"{path}: no column {id!r}; expected a table of the training images with an id column")
    _refuse_shared(set(test.ids) & set(texts(frame[id])), "id", test, str(path), "train")
    column = cluster if cluster in frame.columns else "cluster"
    if test.clusters is not None and column in frame.columns:
        known = {name for name in texts(frame[column]) if not is_missing(name)}
        _refuse_shared(set(test.clusters) & known, "cluster", test, str(path), "train")


def _refuse_shared(shared: set[str], what: str, test: Predictions, other: str, role: str) -> None:
    if shared:
        raise UserError(
            f"{len(shared)} {what}s are in both {test.source} and the {role} table {other} ({some(shared, 20)}); "
            "the test set must be disjoint: drop them from one side"
        )
