"""A table of ratings: each row is what one reader said about one case in one modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN, is_missing
from dermforge.common.tables import read_table
from evalsuite.fairness.predictions import some, texts
from shards.ingest.tables.columns import folded

ROLES = ("reader", "case", "modality", "truth", "rating")
#: What other programs call them (iMRMC, MRMCaov), without case and punctuation.
_ALIASES = {
    "readerid": "reader",
    "caseid": "case",
    "modalityid": "modality",
    "treatment": "modality",
    "score": "rating",
}


@dataclass(frozen=True)
class Ratings:
    """Ratings where every reader rated every case in every modality.

    Attributes
    ----------
    modalities, readers, cases
        Names; the first modality is what the others are compared with.
    positive
        Whether the case has what readers look for, bool [cases].
    values
        The ratings, higher for surer of it, [modalities, readers, cases].
    clusters
        Patients of the cases, [cases]; None where each case stands alone.
    groups
        A group column, such as the skin type, [cases]; None where none was asked for.
    left_out
        Cases that some reader did not rate in some modality, and that were left out.
    """

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    cases: NDArray[np.str_]
    positive: NDArray[np.bool_]
    values: NDArray[np.floating]
    clusters: NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None
    left_out: tuple[str, ...] = ()
    source: str = "the table"

    @property
    def units(self) -> NDArray[np.int64]:
        """Codes from 0 of what is independent: patients, or cases, [cases]."""
        if self.clusters is None:
            return np.arange(len(self.cases))
        return np.unique(self.clusters, return_inverse=True)[1].astype(np.int64)

    def take(self, rows: NDArray[np.bool_]) -> Ratings:
        """The same readers and modalities with only these cases."""
        return replace(
            self,
            cases=self.cases[rows],
            positive=self.positive[rows],
            values=self.values[..., rows],
            clusters=None if self.clusters is None else self.clusters[rows],
            groups=None if self.groups is None else self.groups[rows],
        )


@dataclass(frozen=True)
class Reading:
    """How a table is read.

    Attributes
    ----------
    columns
        What a role (one of `ROLES`) is called in the table, where it is called otherwise.
    positive
        The word in `truth` for a positive case; "" where truth is 0 and 1.
    against
        The modality that the others are compared with; "" for the first one in the table.
    cluster, group
        Columns of the patient and of the group; "" for none.
    drop_incomplete
        Leave out cases that some reader did not rate in some modality, instead of refusing them.
    """

    columns: Mapping[str, str] | None = None
    positive: str = ""
    against: str = ""
    cluster: str = ""
    group: str = ""
    drop_incomplete: bool = False


def load(path: Path, reading: Reading = Reading()) -> Ratings:
    """Read and validate a table of ratings.

    Raises
    ------
    UserError
        One line: what is wrong, where, and what to do.
    """
    return from_frame(read_table(path), reading, str(path))


def from_frame(frame: pd.DataFrame, reading: Reading = Reading(), source: str = "the table") -> Ratings:
    """Validate a table already in memory; see `load`."""
    rows = _named(frame, reading, source)
    if not len(rows):
        raise UserError(f"{source}: no rows; expected one for each reader, case and modality")
    for role in ("reader", "case", "modality", "truth"):
        empty = rows[role].map(is_missing)
        if empty.any():
            raise UserError(f"{source}: no {role} in {empty.sum()} rows (row {empty.argmax() + 1}); fill it in")
    rows["positive"] = _positive(rows, reading.positive, source)
    rows["rating"] = _numbers(rows, source)
    keys = ["modality", "reader", "case"]
    twice = rows[rows.duplicated(keys)]
    if len(twice):
        one = twice.iloc[0]
        raise UserError(
            f"{source}: reader {one['reader']!r} rated case {one['case']!r} twice in modality {one['modality']!r} "
            f"({len(twice)} such rows); keep one"
        )
    modalities = list(dict.fromkeys(rows["modality"]))
    if reading.against and reading.against not in modalities:
        raise UserError(f"{source}: no modality {reading.against!r}; it has {', '.join(modalities)}")
    first = reading.against or modalities[0]
    modalities.sort(key=lambda name: name != first)
    readers = list(dict.fromkeys(rows["reader"]))
    wide = rows.pivot(index="case", columns=["modality", "reader"], values="rating")
    wide = wide.reindex(columns=pd.MultiIndex.from_product([modalities, readers])).loc[
        list(dict.fromkeys(rows["case"]))
    ]
    gaps = wide.isna().any(axis=1)
    if gaps.any() and not reading.drop_incomplete:
        case, lacking = wide.index[gaps][0], list(wide.columns[wide[gaps].iloc[0].isna()])
        modality, reader = lacking[0][0], lacking[0][1]
        raise UserError(
            f"{source}: reader {reader!r} did not rate case {case!r} in modality {modality!r}, and {gaps.sum()} of "
            f"{len(wide)} cases lack a rating; every reader rates every case in every modality: leave those cases out"
        )
    kept = wide[~gaps]
    if not len(kept):
        raise UserError(f"{source}: no case was rated by every reader in every modality; leave out readers instead")
    facts = {name: _one_of_each_case(rows, name, source) for name in ("positive", "cluster", "group") if name in rows}
    values = kept.to_numpy(np.float64).T.reshape(len(modalities), len(readers), len(kept))
    found = Ratings(
        tuple(modalities),
        tuple(readers),
        kept.index.to_numpy(str),
        facts["positive"].loc[kept.index].to_numpy(bool),
        values,
        facts["cluster"].loc[kept.index].to_numpy(str) if "cluster" in facts else None,
        facts["group"].loc[kept.index].to_numpy(str) if "group" in facts else None,
        tuple(wide.index[gaps]),
        source,
    )
    if found.positive.all() or not found.positive.any():
        kind = "positive" if found.positive.any() else "negative"
        raise UserError(f"{source}: all {len(kept)} cases are {kind}; expected cases with and without the finding")
    return found


def _named(frame: pd.DataFrame, reading: Reading, source: str) -> pd.DataFrame:
    """The columns by our names, as text."""
    frame = _with_truth(frame.rename(columns=_usual(frame.columns, reading.columns or {})))
    names = {role: role for role in ROLES} | dict(reading.columns or {})
    names |= {role: name for role, name in (("cluster", reading.cluster), ("group", reading.group)) if name}
    missing = [name for name in names.values() if name not in frame.columns]
    if missing:
        raise UserError(
            f"{source}: no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}: say which they are"
        )
    rows = pd.DataFrame({role: texts(frame[name]) for role, name in names.items()}, dtype=object)
    if "group" in rows:
        rows["group"] = [UNKNOWN if is_missing(word) else word for word in rows["group"]]
    if "cluster" in rows:
        alone = rows["cluster"].map(is_missing)
        rows["cluster"] = rows["cluster"].where(~alone, "case " + rows["case"])
    return rows


def _usual(names: Iterable[object], chosen: Mapping[str, str]) -> dict[str, str]:
    """The columns of other programs by our names, where a role has no column yet."""
    present = {str(name) for name in names}
    found: dict[str, str] = {}
    for name in sorted(present - set(chosen.values())):
        role = _ALIASES.get(folded(name))
        if role and role not in present and role not in chosen and role not in found.values():
            found[name] = role
    return found


def _with_truth(frame: pd.DataFrame) -> pd.DataFrame:
    """The truth as a column, where it has rows of its own: iMRMC's reader `truth`, whose rating is 0 or 1."""
    if "truth" in frame or not {"reader", "case", "rating"} <= set(frame.columns):
        return frame
    of_truth = frame["reader"].astype(str).str.strip().str.casefold() == "truth"
    if not of_truth.any():
        return frame
    truth = frame[of_truth].drop_duplicates("case").set_index("case")["rating"]
    return frame[~of_truth].assign(truth=lambda rows: rows["case"].map(truth))


def _positive(rows: pd.DataFrame, word: str, source: str) -> Sequence[bool]:
    found = sorted(set(rows["truth"]))
    if word:
        if word not in found:
            raise UserError(f"{source}: no truth {word!r}; it has {some(found)}")
        return [truth == word for truth in rows["truth"]]
    values = {"0": False, "1": True, "false": False, "true": True}
    if not {truth.lower() for truth in found} <= set(values):
        raise UserError(f"{source}: truth is {some(found)}; expected 0 and 1: say which word is positive")
    return [values[truth.lower()] for truth in rows["truth"]]


def _numbers(rows: pd.DataFrame, source: str) -> pd.Series:
    """Ratings as numbers; an empty one is missing, and so is its case."""
    numbers = pd.to_numeric(rows["rating"].where(~rows["rating"].map(is_missing)), errors="coerce")
    wrong = ~np.isfinite(numbers) & ~rows["rating"].map(is_missing)
    if wrong.any():
        one = rows[wrong].iloc[0]
        raise UserError(
            f"{source}: the rating {one['rating']!r} of reader {one['reader']!r} for case {one['case']!r} is no number "
            f"({wrong.sum()} such rows); expected a score, higher for surer of the finding"
        )
    return numbers.astype(np.float64)


def _one_of_each_case(rows: pd.DataFrame, column: str, source: str) -> pd.Series:
    several = rows.groupby("case")[column].nunique()
    if (several > 1).any():
        name = "truth" if column == "positive" else column
        cases = several.index[several > 1]
        raise UserError(f"{source}: two values of {name} for one case ({some(cases)}); a case has one")
    return rows.groupby("case")[column].first()
