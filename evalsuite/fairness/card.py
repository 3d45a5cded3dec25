"""The fairness card as data: estimates, groups, gaps; to JSON, to tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from dermforge.common.as_json import document, plain
from dermforge.common.least_numbers import GROUP_IMAGES
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.stats.estimate import Estimate

CARD_VERSION = 1
#: What is written of an estimate.
WRITTEN = ("value", "low", "high", "n", "enough", "n_needed", "method")


@dataclass(frozen=True)
class CardSettings:
    """How a card or a comparison is computed.

    Attributes
    ----------
    specificity
        The fixed specificity of `sensitivity@...`.
    min_count
        Rows a proportion needs, and each side of an AUROC; a mean over classes needs half of it in each class.
    half_width
        Half width of a useful interval, for "the n that would be needed".
    intersections
        Whether to cross the group columns pairwise.
    sensitivity
        The fixed sensitivity of `specificity@sens`.
    prevalence
        Share of the positive classes where the classifier will be used, for PPV, NPV and net benefit; None: not stated.
    """

    seed: int = 0
    confidence: float = 0.95
    specificity: float = 0.9
    min_count: int = GROUP_IMAGES
    half_width: float = 0.1
    intersections: bool = True
    sensitivity: float = 0.9
    prevalence: float | None = None


DEFAULTS = CardSettings()


@dataclass(frozen=True)
class GroupRow:
    """One group (or `all`, or an intersection): its sizes, its metrics, and its shrunk accuracy where it has one."""

    column: str
    group: str
    n: int
    clusters: int | None
    positives: Mapping[str, int]
    metrics: Mapping[MetricKey, Estimate]
    shrunk: Estimate | None = None

    def __getitem__(self, metric: str | MetricKey) -> Estimate:
        """The estimate of a metric, such as `row["sensitivity:plaque"]`; KeyError where there is none."""
        return self.metrics[MetricKey.parse(metric)]

    def __contains__(self, metric: str | MetricKey) -> bool:
        return MetricKey.parse(metric) in self.metrics


@dataclass(frozen=True)
class Gap:
    """Largest difference of a metric among the groups of a column, and what chance alone would show.

    Attributes
    ----------
    difference, low, high
        max - min over the groups with enough data, and its interval.
    ratio
        min / max.
    null_mean, null_p95
        Mean and 95th percentile of the difference of equal groups with as wide intervals.
    p
        That all groups are equal, at which the interval touches 0: of the pair farthest apart beside its errors,
        corrected for the number of pairs (max-T).
    detectable
        The true difference between these two groups that would have been seen with a chance of 80 %.
    left_out
        Groups without enough data.
    surest
        The difference that the p is of, which a small group may not have: worse group, value, better group, value.
    """

    column: str
    metric: MetricKey
    difference: float
    low: float
    high: float
    ratio: float
    worst: str
    worst_value: float
    best: str
    best_value: float
    null_mean: float
    null_p95: float
    p: float
    detectable: float
    left_out: tuple[str, ...] = ()
    surest: tuple[str, float, str, float] = ("", math.nan, "", math.nan)

    @property
    def beyond_chance(self) -> bool:
        """Whether equal groups show so large a difference in at most 5 % of tables."""
        return self.p <= 0.05

    def undetermined(self) -> str:
        """What is said where p is above 0.05; between two groups, since smaller ones may hide more."""
        size = f"a gap of {self.detectable:.2f}" if self.detectable < 1 else "no gap"
        between = "" if self.tied else f" between {self.worst} and {self.best}"
        return f"cannot be determined; {size}{between} would have been seen with a chance of 80 %"

    @property
    def tied(self) -> bool:
        """Whether all compared groups have the same value, so that none is the worst."""
        return self.worst == self.best


@dataclass(frozen=True)
class Card:
    """What `evalsuite fairness` finds out.

    Attributes
    ----------
    rows
        `all` first, then each group of each column, then the intersections.
    gaps
        For each column and metric; includes demographic_parity, equal_opportunity and equalised_odds.
    thresholds
        Thresholds from the validation predictions: {"global" | "column=group": {class: threshold}}.
    notes
        Sentences a reader must know.
    classifier
        Whose predictions they are; empty where the table does not say it.
    primary
        The metric that the first screen is about.
    positive_classes
        The classes that count together against the rest; none where none are named.
    contrast
        Column of the planned comparison of one part of the first column with all others; "" without one. It has rows
        and gaps like other columns, and is not among `columns`.
    """

    source: str
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    gaps: tuple[Gap, ...]
    thresholds: Mapping[str, Mapping[str, float]]
    settings: CardSettings
    notes: tuple[str, ...] = ()
    classifier: str = ""
    primary: MetricKey = ACCURACY
    positive_classes: tuple[str, ...] = ()
    contrast: str = ""

    @property
    def positive(self) -> str:
        """The positive classes as one class: melanoma, melanoma+bcc; "" where none are named."""
        return "+".join(self.positive_classes)

    def row(self, column: str = "all", group: str = "all") -> GroupRow:
        """The row of a group; KeyError where there is none."""
        for row in self.rows:
            if (row.column, row.group) == (column, group):
                return row
        raise KeyError((column, group))

    def of(self, column: str) -> tuple[GroupRow, ...]:
        """Rows of a column, in the natural order of its groups."""
        return tuple(row for row in self.rows if row.column == column)

    def gap(self, column: str, metric: str | MetricKey = ACCURACY) -> Gap:
        """The gap of a metric over a column; KeyError where there is none."""
        key = MetricKey.parse(metric)
        for gap in self.gaps:
            if (gap.column, gap.metric) == (column, key):
                return gap
        raise KeyError((column, str(key)))

    def worst(self, column: str, metric: str | MetricKey = ACCURACY) -> tuple[str, Estimate] | None:
        """The worst group of a column and its value; None where fewer than two groups have enough data."""
        try:
            gap = self.gap(column, metric)
        except KeyError:
            return None
        return gap.worst, self.row(column, gap.worst)[metric]

    def primary_gap(self, column: str) -> Gap | None:
        """The gap of the primary metric; None where fewer than two groups have enough data."""
        return next((g for g in self.gaps if (g.column, g.metric) == (column, self.primary)), None)

    @property
    def all_classes(self) -> tuple[str, ...]:
        """The classes one against the rest, the positive ones first; several as one, and each by itself too."""
        first = (self.positive,) if self.positive else ()
        return (*first, *(c for c in self.classes if c != self.positive))

    def label(self, metric: MetricKey) -> str:
        """A metric as a reader knows it, with the card's specificity and the class."""
        of_class = f" for {metric.cls}" if metric.cls else ""
        at = f" at a prevalence of {self.settings.prevalence:.2g}" if metric.kind in ("ppv", "npv") else ""
        return metric.label(self.settings.specificity, self.settings.sensitivity) + of_class + at

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN as None."""
        rows = [
            {
                **vars(row),
                "metrics": {str(key): _written(found) for key, found in row.metrics.items()},
                "shrunk": row.shrunk and _written(row.shrunk),
            }
            for row in self.rows
        ]
        gaps = [{**vars(gap), "metric": str(gap.metric)} for gap in self.gaps]
        named = {"settings": asdict(self.settings), "primary": str(self.primary)}
        whole = {**vars(self), **named, "rows": rows, "gaps": gaps}
        return dict(plain({"version": CARD_VERSION, **whole}))

    def to_json(self) -> str:
        """One JSON document, keys sorted, NaN as null."""
        return document(self.to_dict())

    def to_frame(self) -> pd.DataFrame:
        """Long table: column, group, rows, metric, class, value, low, high, n, enough, n_needed, method, shown."""
        shrunk = MetricKey("accuracy_shrunk")
        return pd.DataFrame(
            [
                {
                    "column": row.column,
                    "group": row.group,
                    "rows": row.n,
                    "metric": key.name,
                    "class": key.cls,
                    **_written(estimate),
                    "shown": estimate.text(),
                }
                for row in self.rows
                for key, estimate in (*row.metrics.items(), *(((shrunk, row.shrunk),) if row.shrunk else ()))
            ]
        )

    def gaps_frame(self) -> pd.DataFrame:
        """A row for each gap."""
        return pd.DataFrame(
            [
                {
                    **vars(gap),
                    "metric": str(gap.metric),
                    "left_out": " ".join(gap.left_out),
                    "surest": " and ".join(gap.surest[::2]),
                    "beyond_chance": gap.beyond_chance,
                }
                for gap in self.gaps
            ]
        )


def _written(estimate: Estimate) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in WRITTEN}
