"""Compute the fairness card: every metric for all, each group and each intersection, and the gaps between groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.fairness import gaps, group_estimates
from evalsuite.fairness.asked import Together, contrasted, is_alone, require_primary, with_predictive_values
from evalsuite.fairness.card import DEFAULTS, Card, CardSettings, Gap, GroupRow
from evalsuite.fairness.cuts import fix_cuts
from evalsuite.fairness.disjoint import refuse_overlap
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.partition import GroupData, everyone, group_data, partition
from evalsuite.fairness.predictions import Predictions
from evalsuite.fairness.question import ANYTHING, Question
from evalsuite.stats import clusters, shrinkage
from evalsuite.stats.estimate import Estimate


def compute_card(
    predictions: Predictions,
    groups: Sequence[str],
    settings: CardSettings = DEFAULTS,
    *,
    validation: Predictions | None = None,
    question: Question = ANYTHING,
    tick: Callable[[int], None] | None = None,
) -> Card:
    """Compute the card.

    Parameters
    ----------
    predictions
        The test set; its `clusters`, where it has them, are what is independent.
    groups
        Group columns of the table.
    validation
        Predictions that fix the thresholds of `sensitivity@global` and `sensitivity@group`; without them the card has
        no such metric.
    question
        What the first screen answers: positive classes, primary metric, planned contrast.
    tick
        Called with finished columns and crossings; there are `steps(groups, settings)` in all.

    Raises
    ------
    UserError
        A column is missing, test and validation overlap or differ in their classes, or the question names a class,
        group or metric that is not there.
    """
    _require(predictions, groups, validation)
    settings, primary = question.settings(settings), question.metric
    contrast, predictions, validation = contrasted(predictions, validation, groups[0], question.contrast)
    columns = [*groups, *([contrast] if contrast else [])]
    cuts = fix_cuts(validation, predictions, columns, settings.specificity, settings.min_count, settings.sensitivity)
    together = Together.of(predictions, validation, columns, question, settings)
    codes = predictions.cluster_codes
    alone = codes is None or is_alone(codes)
    whole = everyone(predictions)
    crossed = list(itertools.combinations(groups, 2)) if settings.intersections else []
    parts = [whole, *(partition(predictions, of) for of in (*((c,) for c in columns), *crossed))]
    rows: list[GroupRow] = []
    found: list[Gap] = []
    overall: Mapping[MetricKey, Estimate] = {}
    for part in parts:
        data = [
            group_data(predictions, part.codes == g, None if alone else codes, cuts.of(part.column, name))
            for g, name in enumerate(part.names)
        ]
        made = [_row(part.column, name, one, overall, settings) for name, one in zip(part.names, data, strict=True)]
        if together is not None:
            made = [together.added(row, part.codes == g, overall) for g, row in enumerate(made)]
        made = [with_predictive_values(row, question.positive_name, settings) for row in made]
        if part is whole:
            overall = made[0].metrics
        else:
            found += gaps.gaps(part, data, made, settings)
        is_crossed = part is not whole and part.column not in columns
        rows += _shrunk(made, [_effect(one) for one in data], settings.confidence) if is_crossed else made
        if tick is not None:
            tick(1)
    require_primary(primary, rows[0], validation)
    return Card(
        predictions.source,
        predictions.classes,
        tuple(groups),
        tuple(rows),
        tuple(found),
        cuts.to_dict(predictions.classes),
        settings,
        tuple(_notes(predictions, validation, rows, settings)),
        predictions.classifier,
        primary,
        question.positive,
        contrast,
    )


def _row(
    column: str, name: str, one: GroupData, overall: Mapping[MetricKey, Estimate], settings: CardSettings
) -> GroupRow:
    return GroupRow(
        column,
        name,
        len(one.rows),
        None if one.clusters is None else len(np.unique(one.clusters)),
        dict(zip(one.scored.classes, (int(c) for c in one.counts), strict=True)),
        group_estimates.estimates(one, overall, settings),
    )


def _effect(one: GroupData) -> float:
    return clusters.design(one.scored.correct.astype(np.float64), one.clusters, None, one.scored.weights).effect


def _shrunk(rows: Sequence[GroupRow], effects: Sequence[float], confidence: float) -> list[GroupRow]:
    """The rows with their accuracy shrunk towards that of the others; effects: of the clusters of each."""
    n = np.array([row.n for row in rows], dtype=np.float64) / np.array(effects)
    hits = np.array([row.metrics[ACCURACY].value for row in rows]) * n
    fit = shrinkage.beta_binomial(hits, n, confidence)
    bounds = zip(fit.value.tolist(), fit.low.tolist(), fit.high.tolist(), strict=True)
    return [
        replace(row, shrunk=Estimate(*bound, row.n, method="beta-binomial"))
        for row, bound in zip(rows, bounds, strict=True)
    ]


def steps(groups: Sequence[str], settings: CardSettings, question: Question = ANYTHING) -> int:
    """Columns and crossings that `compute_card` reports through `tick`."""
    return 1 + bool(question.contrast) + len(groups) + (math.comb(len(groups), 2) if settings.intersections else 0)


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


def _notes(
    predictions: Predictions, validation: Predictions | None, rows: Sequence[GroupRow], settings: CardSettings
) -> list[str]:
    notes = ["The gap of the primary metric was named in advance; the p of the others are exploratory."]
    if predictions.weights is not None:
        notes.append(
            "Rows are weighted. Average precision, the calibration error and the calibration slope are left out, since "
            "no interval of them is known here for weighted rows. Thresholds are fixed on unweighted validation rows."
        )
    if validation is None:
        notes.append("No validation predictions: sensitivity at a fixed specificity is not reported.")
    if predictions.clusters is None:
        notes.append("No patient or duplicate-family column: intervals take each row as independent.")
    short = [f"{r.column} {r.group}" for r in rows if not r.metrics[ACCURACY].enough]
    if short:
        notes.append(f"Fewer than {settings.min_count} rows in: {', '.join(short)}.")
    lacking = sorted({f"{r.column} {r.group}" for r in rows if min(r.positives.values()) == 0})
    if lacking:
        notes.append(
            f"Some classes are absent from: {', '.join(lacking)}; means over classes there cover fewer classes."
        )
    return notes
