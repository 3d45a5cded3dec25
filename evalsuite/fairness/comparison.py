"""Two models on one test set, as data: what changed for each group, and what happened to the gaps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from dermforge.common.as_json import document, plain
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.stats.estimate import NOT_ENOUGH


@dataclass(frozen=True)
class Change:
    """What happened to one group: b - a, positive is better.

    Attributes
    ----------
    n
        Rows that the metric uses: those of the class for a sensitivity.
    low, high
        Two-sided interval of the difference, paired.
    p, p_holm
        The level at which the interval touches 0 (McNemar's for a share); Holm within the family that was named in
        advance, NaN outside it.
    no_worse
        Whether the one-sided lower bound at the same alpha / 2 lies above -margin.
    detectable
        The true difference that this group had an 80 % chance to show.
    """

    column: str
    group: str
    n: int
    enough: bool
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    no_worse: bool
    detectable: float

    @property
    def beyond_chance(self) -> bool:
        """Whether it survives the correction for the number of groups: Holm's p of at most 0.05."""
        return self.p_holm <= 0.05

    def text(self) -> str:
        if not self.enough or not math.isfinite(self.difference):
            return f"{NOT_ENOUGH} (n={self.n})"
        return f"{self.a:.3f} -> {self.b:.3f}, {self.difference:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class GapChange:
    """What happened to the gap of a column, with a paired interval and p.

    Attributes
    ----------
    levelled_down
        Whether it closed because the best group got worse.
    reading
        What moved, in words.
    """

    column: str
    gap_a: float
    gap_b: float
    difference: float
    low: float
    high: float
    p: float
    best_a: str
    worst_a: str
    levelled_down: bool
    reading: str


@dataclass(frozen=True)
class Comparison:
    """Two models, group by group."""

    a: str
    b: str
    metric: MetricKey
    margin: float
    changes: tuple[Change, ...]
    gaps: tuple[GapChange, ...]

    def of(self, column: str) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.column == column)

    @property
    def unjudged(self) -> tuple[Change, ...]:
        """Groups without enough rows to be judged."""
        return tuple(c for c in self.changes if c.column != "all" and not c.enough)

    @property
    def no_group_worse(self) -> bool:
        """Whether every group was judged, and shown to be no worse."""
        judged = [c for c in self.changes if c.column != "all"]
        return bool(judged) and all(c.enough and c.no_worse for c in judged)

    def no_worse_sentence(self) -> str:
        """Which groups got no worse by more than the margin, and which cannot be judged."""
        judged = [c for c in self.changes if c.column != "all" and c.enough]
        worse = [f"{c.column} {c.group}" for c in judged if not c.no_worse]
        lacking = ", ".join(f"{c.column} {c.group} ({_moved(c)})" for c in self.unjudged)
        if worse:
            return f"No group worse by more than {self.margin:g}: not shown for {', '.join(worse)}." + (
                f" Not judged, too few rows: {lacking}." if lacking else ""
            )
        if lacking:
            rest = " The other groups are shown to be no worse." if judged else ""
            return (
                f"Whether a group got worse by more than {self.margin:g} cannot be determined. "
                f"Not judged, too few rows: {lacking}.{rest}"
            )
        return f"No group worse by more than {self.margin:g}: shown for every group."

    def to_dict(self) -> dict[str, Any]:
        whole = {**asdict(self), "metric": str(self.metric), "no_group_worse": self.no_group_worse}
        return dict(plain({**whole, "unjudged": [f"{c.column} {c.group}" for c in self.unjudged]}))

    def to_json(self) -> str:
        return document(self.to_dict())

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame([{**asdict(c), "shown": c.text()} for c in self.changes])


def _moved(change: Change) -> str:
    """What a group shows that is too small for a verdict."""
    if not math.isfinite(change.difference):
        return f"n={change.n}"
    return f"n={change.n}, {change.a:.3f} -> {change.b:.3f}"
