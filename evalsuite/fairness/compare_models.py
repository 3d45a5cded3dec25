"""Two models on the same test set: who gained, who lost, and did the gap close for the right reason."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from dermforge.common.errors import UserError
from evalsuite.fairness import metrics
from evalsuite.fairness.assess import Partition, partition
from evalsuite.fairness.card import plain
from evalsuite.fairness.predictions import Predictions, some
from evalsuite.stats import hypothesis_tests, intervals, resampling
from evalsuite.stats.estimate import NOT_ENOUGH
from evalsuite.stats.intervals import z_of

CHUNK = 100


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
        """Whether it stands among as many groups as were looked at: Holm's p of at most 0.05."""
        return self.p_holm <= 0.05

    def text(self) -> str:
        if not self.enough or not math.isfinite(self.difference):
            return f"{NOT_ENOUGH} (n={self.n})"
        return f"{self.a:.3f} -> {self.b:.3f}, {self.difference:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class GapChange:
    """What happened to the gap of a column (difference, its paired interval and p), and whether it closed by making
    somebody worse."""

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
    metric: str
    margin: float
    changes: tuple[Change, ...]
    gaps: tuple[GapChange, ...]
    no_group_worse: bool

    def of(self, column: str) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.column == column)

    def to_dict(self) -> dict[str, Any]:
        return dict(plain(asdict(self)))

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, indent=2, allow_nan=False) + "\n"

    def _repr_html_(self) -> str:
        """The comparison in a notebook."""
        from evalsuite.page.render import fragment
        from evalsuite.report.card_blocks import comparison_blocks

        return fragment(comparison_blocks(self))

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame([{**asdict(c), "shown": c.text()} for c in self.changes])


def compare(
    a: Predictions,
    b: Predictions,
    groups: Sequence[str],
    *,
    metric: str = "accuracy",
    margin: float = 0.02,
    n_boot: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    min_count: int = 10,
    family: Sequence[str] | None = None,
) -> Comparison:
    """Compare model b with model a, paired row by row.

    Parameters
    ----------
    metric
        A key of `metrics.evaluate` where more is better.
    margin
        The loss that a group may take and still count as no worse.
    family
        Columns whose groups form the family of Holm; None takes the first of `groups`.

    Raises
    ------
    UserError
        The tables hold different ids, labels or classes, or the metric cannot be compared.
    """
    b = _aligned(a, b)
    metrics.require(metric, metrics.score(a.probs, a.labels, a.classes), higher_is_better=True)
    clusters = None if a.clusters is None else np.unique(a.clusters, return_inverse=True)[1].astype(np.int64)
    parts = [Partition("all", ("all",), np.zeros(a.n, dtype=np.int64)), *(partition(a, (c,)) for c in groups)]
    rng = np.random.default_rng(seed)
    changes: list[Change] = []
    gaps: list[GapChange] = []
    for part in parts:
        drawn_a, drawn_b = _paired(a, b, part, metric, clusters, n_boot, rng)
        own = [
            _change(a, b, part, g, metric, (drawn_a[g], drawn_b[g]), clusters, margin, confidence, min_count)
            for g in range(len(part.names))
        ]
        changes += own
        if part.column != "all":
            gaps += _gap_change(part, own, drawn_a, drawn_b, confidence)
    named = set(groups[:1] if family is None else family)
    changes = _holm(changes, named)
    judged = [c for c in changes if c.column != "all" and c.enough]
    return Comparison(
        a.source,
        b.source,
        metric,
        margin,
        tuple(changes),
        tuple(gaps),
        bool(judged) and all(c.no_worse for c in judged),
    )


def _aligned(a: Predictions, b: Predictions) -> Predictions:
    """b's rows in the order of a's."""
    if a.classes != b.classes:
        raise UserError(
            f"{b.source}: classes {', '.join(b.classes)}; expected those of {a.source}: {', '.join(a.classes)}"
        )
    place = {name: i for i, name in enumerate(b.ids.tolist())}
    unmatched = set(a.ids.tolist()) ^ set(place)
    if unmatched:
        raise UserError(
            f"{a.source} and {b.source} hold different ids ({some(unmatched)}); two models are compared "
            "on the same test set"
        )
    b = b.take(np.array([place[name] for name in a.ids.tolist()]))
    if (a.labels != b.labels).any():
        raise UserError(f"{a.source} and {b.source} give different labels for ids {some(a.ids[a.labels != b.labels])}")
    return b


def _paired(
    a: Predictions,
    b: Predictions,
    part: Partition,
    metric: str,
    clusters: NDArray[np.int64] | None,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The metric of both models in the same resamples, [groups, n_boot] each."""
    units = resampling.units(part.codes * len(a.classes) + a.labels, clusters)
    masks = [np.flatnonzero(part.codes == g) for g in range(len(part.names))]
    scored = [[metrics.score(t.probs[m], t.labels[m], t.classes) for m in masks] for t in (a, b)]
    ranked = metric.startswith(("auroc", "auprc"))
    out: tuple[list[NDArray[np.floating]], list[NDArray[np.floating]]] = ([], [])
    for done in range(0, n_boot, CHUNK):
        weights = resampling.bootstrap_weights(rng, units, min(CHUNK, n_boot - done))
        for kept, cells in zip(out, scored, strict=True):
            kept.append(
                np.stack(
                    [
                        metrics.evaluate(cell, weights[m], ranked=ranked)[metric]
                        for cell, m in zip(cells, masks, strict=True)
                    ]
                )
            )
    return np.concatenate(out[0], axis=1), np.concatenate(out[1], axis=1)


def _change(
    a: Predictions,
    b: Predictions,
    part: Partition,
    group: int,
    metric: str,
    drawn: tuple[NDArray[np.floating], NDArray[np.floating]],
    clusters: NDArray[np.int64] | None,
    margin: float,
    confidence: float,
    min_count: int,
) -> Change:
    rows = np.flatnonzero(part.codes == group)
    cells = [metrics.score(t.probs[rows], t.labels[rows], t.classes) for t in (a, b)]
    value_a, value_b = (metrics.one(cell)[metric] for cell in cells)
    samples = drawn[1] - drawn[0]
    own = None if clusters is None else clusters[rows]
    if metric == "accuracy":
        step = cells[1].correct.astype(np.float64) - cells[0].correct
        only_a, only_b = int((step < 0).sum()), int((step > 0).sum())
        p = hypothesis_tests.mcnemar(only_a, only_b) if own is None else hypothesis_tests.clustered_mcnemar(step, own)
        closed = intervals.paired_proportions(only_a, only_b, len(rows), confidence)
    else:
        p, closed = hypothesis_tests.bootstrap_p(samples), None
    degrees = len(rows) - len(np.unique(a.labels[rows]))
    low, high = closed if closed and own is None else intervals.percentile(samples, confidence, degrees)
    if closed and own is not None:  # clusters widen the closed form, never narrow it: it holds where nothing differs
        low, high = min(low, closed[0]), max(high, closed[1])
    return Change(
        part.column,
        part.names[group],
        len(rows),
        len(rows) >= min_count,
        value_a,
        value_b,
        value_b - value_a,
        low,
        high,
        p,
        math.nan,
        bool(low > -margin),
        hypothesis_tests.minimum_detectable(_spread(samples)),
    )


def _spread(samples: NDArray[np.floating]) -> float:
    samples = samples[np.isfinite(samples)]
    return float(samples.std(ddof=1)) if len(samples) > 1 else math.nan


def _gap_change(
    part: Partition,
    own: Sequence[Change],
    drawn_a: NDArray[np.floating],
    drawn_b: NDArray[np.floating],
    confidence: float,
) -> list[GapChange]:
    used = [i for i, c in enumerate(own) if c.enough and math.isfinite(c.difference)]
    if len(used) < 2:
        return []
    a, b = np.array([own[i].a for i in used]), np.array([own[i].b for i in used])
    change = float(np.ptp(b) - np.ptp(a))
    top_a, low_a, top_b, low_b = (used[int(i)] for i in (a.argmax(), a.argmin(), b.argmax(), b.argmin()))
    # the spread of the pairs as they are: picking them anew in each resample folds a small gap and hides its error
    spread = _spread(drawn_b[top_b] - drawn_b[low_b] - drawn_a[top_a] + drawn_a[low_a])
    low, high = change - z_of(confidence) * spread, change + z_of(confidence) * spread
    p = float(2 * norm.sf(abs(change) / spread)) if spread > 0 else 1.0
    best, worst = own[top_a], own[low_a]
    # the best of many groups was partly lucky and falls back by itself: it counts among as many as it was picked from
    adjusted = dict(zip(used, hypothesis_tests.holm(np.array([own[i].p for i in used])).tolist(), strict=True))
    fell = best.difference < 0 and adjusted[top_a] <= 1 - confidence
    rose = worst.difference > 0 and adjusted[low_a] <= 1 - confidence
    down = change < 0 and fell and not rose
    return [
        GapChange(
            part.column,
            float(np.ptp(a)),
            float(np.ptp(b)),
            change,
            low,
            high,
            p,
            best.group,
            worst.group,
            down,
            _reading(change, high, down, rose, best, worst),
        )
    ]


def _reading(change: float, high: float, down: bool, rose: bool, best: Change, worst: Change) -> str:
    """What moved; that the gap is smaller is said only where its interval lies below 0."""
    smaller, unsettled = "the gap is smaller because ", "; that the gap is smaller is not settled"
    if down:
        moved = f"{best.group} got worse, while {worst.group} did not gain"
        return f"levelled down: {smaller}{moved}" if high < 0 else f"levelled down: {moved}{unsettled}"
    if change < 0 and rose:
        moved = f"{worst.group} gained"
        return f"{smaller}{moved}" if high < 0 else f"{moved}{unsettled}"
    if high < 0:
        return "the gap is smaller; which group moved is not settled"
    return "no clear change of the gap" if change <= 0 else "the gap did not close"


def _holm(changes: Sequence[Change], family: set[str]) -> list[Change]:
    inside = [i for i, c in enumerate(changes) if c.column in family and c.enough]
    adjusted = hypothesis_tests.holm(np.array([changes[i].p for i in inside]))
    out = list(changes)
    for i, p in zip(inside, adjusted, strict=True):
        out[i] = Change(**{**vars(changes[i]), "p_holm": float(p)})
    return out
