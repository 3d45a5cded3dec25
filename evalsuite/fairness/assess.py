"""The fairness card: every metric for all, each group and each intersection, with intervals; gaps beside the gap
that chance alone would show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import group_estimates, metrics, parity
from evalsuite.fairness.card import Card, Gap, Row
from evalsuite.fairness.group_estimates import Cell, Settings
from evalsuite.fairness.metrics import Values
from evalsuite.fairness.predictions import Predictions, levels, refuse_overlap
from evalsuite.stats import hypothesis_tests, intervals, resampling, thresholds
from evalsuite.stats.estimate import Estimate

CHUNK = 100  # resamples at a time: what fits the cache
CROSS = " x "
UNCOMPARED = ("ece_plugin", "selection", "specificity@global", "specificity@group")  # no gap of their own


@dataclass(frozen=True)
class Partition:
    """Rows split by one column (or a crossing of columns): group code of each row, and the names."""

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]


def card(
    predictions: Predictions,
    groups: Sequence[str],
    *,
    validation: Predictions | None = None,
    n_boot: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    specificity: float = 0.9,
    min_count: int = 10,
    half_width: float = 0.1,
    intersections: bool = True,
    tick: Callable[[int], None] | None = None,
) -> Card:
    """Compute the card.

    Parameters
    ----------
    predictions
        The test set; its `clusters`, where it has them, are what is resampled.
    groups
        Group columns of the table.
    validation
        Predictions that fix the thresholds of `sensitivity@global` and `sensitivity@group`; none, no such metric.
    tick
        Called with finished resamples; there are `steps(groups, n_boot)` in all.

    Raises
    ------
    UserError
        A column is missing, or test and validation overlap or differ in their classes.
    """
    options = Settings(n_boot, seed, confidence, specificity, min_count, half_width, intersections)
    _require(predictions, groups, validation)
    cuts, above = _thresholds(predictions, groups, validation, options)
    rng = np.random.default_rng(seed)
    clusters = _codes(predictions.clusters)
    report = tick or _silent

    whole = Partition("all", ("all",), np.zeros(predictions.n, dtype=np.int64))
    singles = [partition(predictions, (c,)) for c in groups]
    crossed = [partition(predictions, pair) for pair in itertools.combinations(groups, 2)] if intersections else []
    rows: list[Row] = []
    gaps: list[Gap] = []
    overall: Mapping[str, Estimate] = {}
    for part in (whole, *singles, *crossed):
        calls = {k: v for k, v in above.items() if k == "global" or k == f"group {part.column}"}
        calls = {k.partition(" ")[0]: v for k, v in calls.items()}
        cells = [_cell(predictions, part.codes == g, calls) for g in range(len(part.names))]
        samples = _bootstrap(predictions, part, cells, clusters, options, rng, report)
        made = [
            group_estimates.row(part.column, name, cell, clusters, drawn, overall, options)
            for name, cell, drawn in zip(part.names, cells, samples, strict=True)
        ]
        if part is whole:
            overall = made[0].metrics
        else:
            null = _null(predictions, part, calls, clusters, options, rng, report)
            gaps += _gaps(part, made, cells, samples, null, options)
        rows += group_estimates.shrink(made, options) if part in crossed else made
    return Card(
        predictions.source,
        predictions.classes,
        tuple(groups),
        tuple(rows),
        tuple(gaps),
        cuts,
        dict(vars(options)),
        tuple(_notes(predictions, validation, rows, options)),
    )


def steps(groups: Sequence[str], n_boot: int, intersections: bool = True) -> int:
    """Resamples that `card` reports through `tick`."""
    parts = len(groups) + (math.comb(len(groups), 2) if intersections else 0)
    return n_boot * (1 + 2 * parts)


def partition(predictions: Predictions, columns: Sequence[str]) -> Partition:
    """Split rows by a column, or by every combination of columns that occurs."""
    orders = {c: {v: i for i, v in enumerate(levels(predictions.groups[c]))} for c in columns}
    keys = list(zip(*(predictions.groups[c] for c in columns), strict=True))
    found = sorted(set(keys), key=lambda key: [orders[c][v] for c, v in zip(columns, key, strict=True)])
    index = {key: i for i, key in enumerate(found)}
    return Partition(
        CROSS.join(columns), tuple(CROSS.join(key) for key in found), np.array([index[key] for key in keys])
    )


# -- input ------------------------------------------------------------------------------------------------------------


def _require(predictions: Predictions, groups: Sequence[str], validation: Predictions | None) -> None:
    if not groups:
        raise UserError(f"no group columns given; {predictions.source} has {', '.join(predictions.groups.columns)}")
    for table in (predictions, *((validation,) if validation else ())):
        missing = [c for c in groups if c not in table.groups.columns]
        if missing:
            has = ", ".join(table.groups.columns) or "none"
            raise UserError(f"{table.source}: missing group column {', '.join(missing)}; it has {has}")
    for column in groups:
        if column in ("all", *predictions.classes):
            raise UserError(f"{predictions.source}: group column {column!r} needs another name")
        if predictions.groups[column].nunique() < 2:
            only = predictions.groups[column].iloc[0]
            raise UserError(
                f"{predictions.source}: group column {column!r} holds one group only ({only}); expected at least two"
            )
    if validation is not None:
        if validation.classes != predictions.classes:
            raise UserError(
                f"{validation.source}: classes {', '.join(validation.classes)}; expected those of "
                f"{predictions.source}: {', '.join(predictions.classes)}"
            )
        refuse_overlap(predictions, validation, "validation")


def _codes(clusters: NDArray[np.str_] | None) -> NDArray[np.int64] | None:
    """Cluster codes; None where each row is its own cluster."""
    if clusters is None:
        return None
    names, codes = np.unique(clusters, return_inverse=True)
    return None if len(names) == len(codes) else codes.astype(np.int64)


def _thresholds(
    predictions: Predictions, groups: Sequence[str], validation: Predictions | None, options: Settings
) -> tuple[dict[str, dict[str, float]], dict[str, NDArray[np.bool_]]]:
    """Thresholds by their names, and which test rows reach them: `global`, `group <column>` -> bool [n, k]."""
    if validation is None:
        return {}, {}

    def fixed(rows: NDArray[np.bool_]) -> NDArray[np.floating]:
        return thresholds.by_class(
            validation.probs[rows], validation.labels[rows], options.specificity, options.min_count
        )

    whole = fixed(np.ones(validation.n, dtype=bool))
    named = {"global": whole}
    above = {"global": predictions.probs >= whole}
    for column in groups:
        calls = np.zeros_like(above["global"])
        for level in levels(predictions.groups[column]):
            cut = fixed((validation.groups[column] == level).to_numpy())
            cut = np.where(np.isfinite(cut), cut, whole)  # too few validation rows of the group: the global one
            named[f"{column}={level}"] = cut
            rows = (predictions.groups[column] == level).to_numpy()
            calls[rows] = predictions.probs[rows] >= cut
        above[f"group {column}"] = calls
    tables = {name: dict(zip(predictions.classes, (float(v) for v in cut), strict=True)) for name, cut in named.items()}
    return tables, above


# -- resampling -------------------------------------------------------------------------------------------------------


def _cell(predictions: Predictions, mask: NDArray[np.bool_], above: Mapping[str, NDArray[np.bool_]]) -> Cell:
    rows = np.flatnonzero(mask)
    return Cell(
        rows,
        metrics.score(
            predictions.probs[rows],
            predictions.labels[rows],
            predictions.classes,
            {kind: calls[rows] for kind, calls in above.items()},
        ),
    )


def _bootstrap(
    predictions: Predictions,
    part: Partition,
    cells: Sequence[Cell],
    clusters: NDArray[np.int64] | None,
    options: Settings,
    rng: np.random.Generator,
    tick: Callable[[int], None],
) -> list[Values]:
    """Metrics of each cell in each resample, [n_boot] each."""
    units = resampling.units(part.codes * len(predictions.classes) + predictions.labels, clusters)
    drawn: list[list[Values]] = [[] for _ in cells]
    for size in _chunks(options.n_boot):
        weights = resampling.bootstrap_weights(rng, units, size).astype(np.float32)
        for kept, cell in zip(drawn, cells, strict=True):
            kept.append(metrics.evaluate(cell.scored, weights[cell.rows]))
        tick(size)
    return [_joined(kept) for kept in drawn]


def _null(
    predictions: Predictions,
    part: Partition,
    above: Mapping[str, NDArray[np.bool_]],
    clusters: NDArray[np.int64] | None,
    options: Settings,
    rng: np.random.Generator,
    tick: Callable[[int], None],
) -> list[Values]:
    """Metrics of each group in each permutation of the groups, [n_boot] each."""
    everyone = _cell(predictions, np.ones(predictions.n, dtype=bool), above).scored
    drawn: list[list[Values]] = [[] for _ in part.names]
    for size in _chunks(options.n_boot):
        shuffled = resampling.permuted_groups(rng, part.codes, predictions.labels, clusters, size)
        for code, kept in enumerate(drawn):
            kept.append(metrics.evaluate(everyone, (shuffled == code).astype(np.float32)))
        tick(size)
    return [_joined(kept) for kept in drawn]


def _chunks(total: int) -> list[int]:
    return [min(CHUNK, total - done) for done in range(0, total, CHUNK)]


def _joined(parts: Sequence[Values]) -> Values:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else {}


def _silent(n: int) -> None:
    return None


# -- gaps -------------------------------------------------------------------------------------------------------------


def _gaps(
    part: Partition,
    rows: Sequence[Row],
    cells: Sequence[Cell],
    samples: Sequence[Values],
    null: Sequence[Values],
    options: Settings,
) -> list[Gap]:
    """Gaps of every metric that at least two groups have enough data for, then fairlearn's."""
    out = []
    for metric in samples[0]:
        if metric.partition(":")[0] in UNCOMPARED:
            continue
        used = [i for i, row in enumerate(rows) if row.metrics[metric].enough]
        if len(used) < 2:
            continue
        values = np.array([rows[i].metrics[metric].value for i in used])
        drawn = np.stack([samples[i][metric] for i in used])
        shuffled = np.stack([null[i][metric] for i in used])
        names = [part.names[i] for i in used]
        left_out = tuple(name for name in part.names if name not in names)
        out.append(_gap(part.column, metric, names, values, drawn, shuffled, left_out, options))
    return out + parity.gaps(
        part.column, part.names, [c.scored for c in cells], samples, null, options.min_count, options.confidence
    )


def _gap(
    column: str,
    metric: str,
    names: Sequence[str],
    values: NDArray[np.floating],
    drawn: NDArray[np.floating],
    shuffled: NDArray[np.floating],
    left_out: tuple[str, ...],
    options: Settings,
) -> Gap:
    difference = float(values.max() - values.min())
    null = np.ptp(shuffled, axis=0)
    low, high = intervals.spread_interval(values, drawn, options.confidence)
    worst, best = int(values.argmin()), int(values.argmax())
    if metric in metrics.LOWER_IS_BETTER:
        worst, best = best, worst
    top = float(values.max())
    return Gap(
        column,
        metric,
        difference,
        low,
        high,
        float(values.min()) / top if top > 0 else math.nan,
        names[worst],
        float(values[worst]),
        names[best],
        float(values[best]),
        *hypothesis_tests.null_summary(null),
        hypothesis_tests.permutation_p(difference, null),
        left_out,
    )


def _notes(
    predictions: Predictions, validation: Predictions | None, rows: Sequence[Row], options: Settings
) -> list[str]:
    notes = ["The gap of accuracy is the primary one; the p of the others are exploratory and not corrected."]
    if validation is None:
        notes.append("No validation predictions: sensitivity at a fixed specificity is not reported.")
    if predictions.clusters is None:
        notes.append("No patient or duplicate-family column: intervals take each row as independent.")
    short = [f"{r.column} {r.group}" for r in rows if not r.metrics["accuracy"].enough]
    if short:
        notes.append(f"Fewer than {options.min_count} rows in: {', '.join(short)}.")
    lacking = sorted({f"{r.column} {r.group}" for r in rows if min(r.positives.values()) == 0})
    if lacking:
        notes.append(
            f"Some classes are absent from: {', '.join(lacking)}; means over classes there cover fewer classes."
        )
    return notes
