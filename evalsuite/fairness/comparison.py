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
    low, high
        Two-sided interval of the difference, paired.
    p, p_holm
        McNemar for the accuracy (within clusters where there are any), else the bootstrap; Holm within the family
        that was named in advance, NaN outside it.
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
    no_group_worse: bool

    def of(self, column: str) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.column == column)

    def to_dict(self) -> dict[str, Any]:
        return dict(plain({**asdict(self), "metric": str(self.metric)}))

    def to_json(self) -> str:
        return document(self.to_dict())

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame([{**asdict(c), "shown": c.text()} for c in self.changes])
