"""Tables of predictions by any model: `id, label, prob_<class>..., group columns..., cluster`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN, is_missing
from dermforge.common.sealed_parquet import sealed
from dermforge.common.skin_tone import TONE_GROUPS
from dermforge.common.tables import read_table
from evalsuite.fairness.group_columns import as_written, group_words
from evalsuite.fairness.own_columns import PREFIX, OwnColumns, text
from evalsuite.fairness.own_columns import some as some
from evalsuite.fairness.probabilities import probabilities, row_weights, warn_of_weights

ROMAN = ("i", "ii", "iii", "iv", "v", "vi")


@dataclass(frozen=True)
class Predictions:
    """A validated table of predictions, one row for each image.

    Attributes
    ----------
    ids
        Unique names, str [n].
    classes
        Class names in the order of the `prob_` columns, k of them (at least two).
    labels
        Index into `classes`, int64 [n].
    probs
        Float64 [n, k]; rows sum to one.
    groups
        Group columns as text, [n, g].
    clusters
        Patient or duplicate family as text, [n]; None where each row stands alone.
    weights
        Survey or sampling weights as given, float64 [n]; None where each row counts once.
    called
        Index of the class that a row is called, int64 [n]; None: the likeliest.
    alone
        Whether the patient of a row is missing, so that it counts by itself, [n]; None without a cluster column.
    source
        Where the table came from, for messages.
    classifier
        Whose predictions they are, where the table says it (`attrs["classifier"]`, which parquet keeps); else empty.
    """

    ids: NDArray[np.str_]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probs: NDArray[np.floating]
    groups: pd.DataFrame
    clusters: NDArray[np.str_] | None = None
    source: str = "the table"
    classifier: str = ""
    weights: NDArray[np.floating] | None = None
    called: NDArray[np.int64] | None = None
    alone: NDArray[np.bool_] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the class that each row is called, [n]; the first of equally likely ones."""
        return self.probs.argmax(axis=1) if self.called is None else self.called

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def cluster_codes(self) -> NDArray[np.int64] | None:
        """Clusters as codes from 0, [n]; None without a cluster column."""
        if self.clusters is None:
            return None
        return np.unique(self.clusters, return_inverse=True)[1].astype(np.int64)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
        """The same table with only these rows."""
        return Predictions(
            self.ids[rows],
            self.classes,
            self.labels[rows],
            self.probs[rows],
            self.groups.loc[rows].reset_index(drop=True)
            if rows.dtype == bool
            else self.groups.iloc[rows].reset_index(drop=True),
            None if self.clusters is None else self.clusters[rows],
            self.source,
            self.classifier,
            None if self.weights is None else self.weights[rows],
            None if self.called is None else self.called[rows],
            None if self.alone is None else self.alone[rows],
        )

    def with_group(self, column: str, values: Sequence[str] | NDArray[np.str_]) -> Predictions:
        """The same table with a group column added or replaced."""
        groups = self.groups.assign(**{column: pd.Series(list(values), dtype=str)})
        return replace(self, groups=groups)

    def written_like(self, other: Predictions) -> Predictions:
        """The same table with the classes in the other's order, and its skin types in the other's words (VI for 6)."""
        shared = [str(c) for c in self.groups if c in other.groups]
        groups = self.groups.assign(**{c: as_written(self.groups[c].to_numpy(str), other.groups[c], c) for c in shared})
        if sorted(self.classes) != sorted(other.classes):
            return replace(self, groups=groups)
        order = [self.classes.index(name) for name in other.classes]
        labels = np.argsort(order)[self.labels].astype(np.int64)
        return replace(self, groups=groups, classes=other.classes, probs=self.probs[:, order], labels=labels)

    def to_frame(self) -> pd.DataFrame:
        """The table as it is written: id, label, prob_*, groups, cluster."""
        names = np.array(self.classes)
        frame = pd.DataFrame({"id": self.ids, "label": names[self.labels]})
        for index, name in enumerate(self.classes):
            frame[PREFIX + name] = self.probs[:, index]
        frame = pd.concat([frame, self.groups.reset_index(drop=True)], axis=1)
        if self.clusters is not None:
            frame["cluster"] = self.clusters
        return frame

    def save(self, path: Path) -> None:
        """Write parquet (with its digest) or CSV, by the suffix, whole or not at all."""
        frame = self.to_frame()
        write_whole(path, sealed(frame) if path.suffix.lower() == ".parquet" else csv_bytes(frame))


def load(
    path: Path,
    *,
    groups: Sequence[str] | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    columns: OwnColumns = OwnColumns(),
) -> Predictions:
    """Read and validate a parquet or CSV table.

    Parameters
    ----------
    path
        `.parquet` or `.csv`.
    groups
        Group columns to keep; None keeps every column that has no other role.
    cluster
        Column that names the patient or duplicate family; None takes `cluster` where there is one.
    weight
        Column of survey or sampling weights; None uses none, and a column that is called so is warned of.
    columns
        What id, label and probabilities are called.

    Raises
    ------
    UserError
        One line: what is wrong, where, and what to do.
    """
    frame = read_table(Path(path))
    if columns != OwnColumns():
        frame = columns.rename(frame, str(path))
    return from_frame(frame, groups=groups, cluster=cluster, weight=weight, source=str(path))


def from_frame(
    frame: pd.DataFrame,
    *,
    groups: Sequence[str] | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    source: str = "the table",
) -> Predictions:
    """Validate a table already in memory; see `load`."""
    names = [str(c) for c in frame.columns]
    frame = frame.set_axis(names, axis=1)
    repeated = sorted({c for c in names if names.count(c) > 1})
    if repeated:
        raise UserError(f"{source}: column {repeated[0]!r} appears twice; keep one")
    by_class = [c for c in names if c.startswith(PREFIX)]
    _require_columns(names, by_class, groups, [c for c in (cluster, weight) if c], source)
    if not len(frame):
        raise UserError(f"{source}: no rows; expected one row for each image")
    cluster = cluster or ("cluster" if "cluster" in names else None)
    unused = [] if weight else warn_of_weights(names, [*(groups or ()), *([cluster] if cluster else [])], source)
    if groups is None:
        groups = [c for c in names if c not in {"id", "label", "parent", cluster, weight, *unused, *by_class}]

    ids = _words(frame["id"], "id", source)
    _refuse_repeats(ids, source)
    classes = tuple(c[len(PREFIX) :] for c in by_class)
    labels = _labels(_words(frame["label"], "label", source, ids, classes), classes, ids, source)
    probs = probabilities(frame[by_class], ids, source)
    columns = {c: group_words(frame[c], source) for c in groups}
    return Predictions(
        ids,
        classes,
        labels,
        probs,
        pd.DataFrame(columns, index=range(len(ids)), dtype=str),
        None if cluster is None else _clusters(frame[cluster], ids),
        source,
        str(frame.attrs.get("classifier", "")),
        None if weight is None else row_weights(frame[weight], ids, source),
        alone=None if cluster is None else np.array([is_missing(name) for name in texts(frame[cluster])]),
    )


def levels(values: Iterable[str]) -> list[str]:
    """Distinct group names in their natural order: light to dark, I to VI, by number, else by the alphabet.

    A range (I-II) has the place of its first group. What is missing, `UNKNOWN`, comes last.
    """
    found = set(values)
    if UNKNOWN in found and len(found) > 1:
        return [*levels(found - {UNKNOWN}), UNKNOWN]
    for order in (TONE_GROUPS, ROMAN):
        if {_start(v).lower() for v in found} <= set(order):
            return sorted(found, key=lambda v: (order.index(_start(v).lower()), v))
    try:
        return sorted(found, key=lambda v: (float(_start(v)), v))
    except ValueError:
        return sorted(found)


def _start(name: str) -> str:
    """The first group of a range: I of I-II; a name that is no range is its own."""
    return name.partition("-")[0] or name


def columns(path: Path) -> list[str]:
    """Column names of a table."""
    return list(read_table(Path(path)).columns)


def _require_columns(
    names: Sequence[str], probabilities: Sequence[str], groups: Sequence[str] | None, others: Sequence[str], source: str
) -> None:
    taken = [c for c in groups or () if c in ("id", "label", *probabilities)]
    if taken:
        raise UserError(f"{source}: column {taken[0]!r} cannot be a group; expected skin type, sex or the like")
    wanted = ["id", "label", *(groups or ()), *others]
    missing = [c for c in wanted if c not in names]
    if missing:
        own = "say which is the id and which the label" if {"id", "label"} & set(missing) else "name one of these"
        raise UserError(f"{source}: missing column {', '.join(missing)}; it has {', '.join(names)}: {own}")
    if len(probabilities) < 2:
        raise UserError(
            f"{source}: {len(probabilities)} columns named {PREFIX}<class>; expected one for each class, at least two: "
            f"rename yours, or say which they are; it has {', '.join(names)}"
        )


def texts(column: pd.Series) -> list[str]:
    """Names as text; 3.0 reads 3 (a group column of whole numbers with a gap becomes float in pandas)."""
    return [text(v) for v in column.tolist()]


def _words(
    column: pd.Series, what: str, source: str, ids: NDArray[np.str_] | None = None, known: Sequence[str] = ()
) -> NDArray[np.str_]:
    """Names, of which none may be missing; those in `known` are not, whatever they say."""
    words = np.array(texts(column), dtype=str)
    empty = np.flatnonzero([w not in known and is_missing(w) for w in words])
    if len(empty):
        where = f"row {empty[0] + 1}" if ids is None else f"ids {some(ids[empty])}"
        raise UserError(f"{source}: {what} is empty in {len(empty)} rows ({where}); fill it in, or drop the rows")
    return words


def _clusters(column: pd.Series, ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """Patients as text; a row whose patient is missing stands alone, under its own id."""
    return np.array(
        [one if is_missing(name) else name for name, one in zip(texts(column), ids, strict=True)], dtype=str
    )


def _refuse_repeats(ids: NDArray[np.str_], source: str) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise UserError(f"{source}: repeated ids {some(unique[counts > 1])}; expected one row for each image")


def _labels(words: NDArray[np.str_], classes: tuple[str, ...], ids: NDArray[np.str_], source: str) -> NDArray[np.int64]:
    index = {name: i for i, name in enumerate(classes)}
    unknown = sorted(set(words.tolist()) - set(classes))
    if unknown:
        raise UserError(
            f"{source}: unknown label {some(unknown)} (ids {some(ids[words == unknown[0]])}); "
            f"the {PREFIX} columns name {', '.join(classes)}"
        )
    labels = np.array([index[w] for w in words.tolist()], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        raise UserError(f"{source}: a single class, {str(words[0])!r}, in all {len(words)} rows; expected at least two")
    return labels
