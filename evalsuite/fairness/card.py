"""The fairness card as data: estimates, rows (a group each), gaps; to JSON, to tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from evalsuite.stats.estimate import Estimate

CARD_VERSION = 1
#: What is written of an estimate.
SHOWN = ("value", "low", "high", "n", "enough", "n_needed", "method")


@dataclass(frozen=True)
class Row:
    """One group (or `all`, or an intersection): its sizes, its metrics, and its shrunk accuracy where it has one."""

    column: str
    group: str
    n: int
    clusters: int | None
    positives: Mapping[str, int]
    metrics: Mapping[str, Estimate]
    shrunk: Estimate | None = None


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
        Mean and 95th percentile of the difference when groups of these sizes and case mix do not matter.
    p
        Permutation p of the difference.
    left_out
        Groups without enough data.
    """

    column: str
    metric: str
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
    left_out: tuple[str, ...] = ()

    @property
    def beyond_chance(self) -> bool:
        """Whether equal groups show so large a difference in at most 5 % of permutations."""
        return self.p <= 0.05


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
    """

    source: str
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    thresholds: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def row(self, column: str = "all", group: str = "all") -> Row:
        """The row of a group; KeyError where there is none."""
        for row in self.rows:
            if (row.column, row.group) == (column, group):
                return row
        raise KeyError((column, group))

    def of(self, column: str) -> tuple[Row, ...]:
        """Rows of a column, in the natural order of its groups."""
        return tuple(row for row in self.rows if row.column == column)

    def gap(self, column: str, metric: str = "accuracy") -> Gap:
        """The gap of a metric over a column; KeyError where there is none."""
        for gap in self.gaps:
            if (gap.column, gap.metric) == (column, metric):
                return gap
        raise KeyError((column, metric))

    def worst(self, column: str, metric: str = "accuracy") -> tuple[str, Estimate] | None:
        """The worst group of a column and its value; None where fewer than two groups have enough data."""
        try:
            gap = self.gap(column, metric)
        except KeyError:
            return None
        return gap.worst, self.row(column, gap.worst).metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN as None."""
        made = plain({"version": CARD_VERSION, **asdict(self)})
        for row in made["rows"]:
            for estimate in (*row["metrics"].values(), row["shrunk"] or {}):
                estimate.pop("note", None)
        return dict(made)

    def to_json(self) -> str:
        """One JSON document, keys sorted, NaN as null."""
        return json.dumps(self.to_dict(), sort_keys=True, indent=2, allow_nan=False) + "\n"

    def _repr_html_(self) -> str:
        """The card in a notebook."""
        from evalsuite.page.render import fragment
        from evalsuite.report import card_blocks, fairness_report

        return fragment([fairness_report.answer(self).sentence, *card_blocks.card_blocks(self)])

    def to_frame(self) -> pd.DataFrame:
        """Long table: column, group, rows, metric, class, value, low, high, n, enough, n_needed, method, shown."""
        return pd.DataFrame(
            [
                {
                    "column": row.column,
                    "group": row.group,
                    "rows": row.n,
                    "metric": name.partition(":")[0],
                    "class": name.partition(":")[2],
                    **{name: getattr(estimate, name) for name in SHOWN},
                    "shown": estimate.text(),
                }
                for row in self.rows
                for name, estimate in (
                    *row.metrics.items(),
                    *((("accuracy_shrunk", row.shrunk),) if row.shrunk else ()),
                )
            ]
        )

    def gaps_frame(self) -> pd.DataFrame:
        """The gaps, a row each."""
        return pd.DataFrame(
            [
                {**asdict(gap), "left_out": " ".join(gap.left_out), "beyond_chance": gap.beyond_chance}
                for gap in self.gaps
            ]
        )


def metric_name(metric: str, card: Card | None = None) -> str:
    """A metric as a reader knows it: `sensitivity@group` reads "sensitivity at 90% specificity, own threshold"."""
    known = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "macro_f1": "macro F1",
        "brier": "Brier score",
        "top3": "top-3 accuracy",
        "ece": "calibration error",
        "equalised_odds": "equalised odds",
    }
    kind, _, threshold = metric.partition("@")
    if not threshold:
        return known.get(kind, kind.replace("_", " "))
    at = f"{card.settings['specificity']:.0%}" if card else "fixed"
    return f"{kind} at {at} specificity, {'one threshold' if threshold == 'global' else 'own threshold'}"


def plain(value: Any) -> Any:
    """As JSON takes it: numpy's numbers as Python's, what is not finite as null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
