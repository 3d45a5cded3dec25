"""Compute the fairness card: every metric for all, each group and each intersection, and the gaps between groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import gaps, group_estimates, metrics
from evalsuite.fairness.card import DEFAULTS, Card, CardSettings, Gap, GroupRow
from evalsuite.fairness.disjoint import refuse_overlap
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.metrics import Values
from evalsuite.fairness.partition import Above, GroupData, Partition, everyone, group_data, partition
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import resampling, thresholds
from evalsuite.stats.estimate import Estimate


def compute_card(
    predictions: Predictions,
    groups: Sequence[str],
    settings: CardSettings = DEFAULTS,
    *,
    validation: Predictions | None = None,
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
        Predictions that fix the thresholds of `sensitivity@global` and `sensitivity@group`; without them the card has
        no such metric.
    tick
        Called with finished resamples; there are `steps(groups, settings)` in all.

    Raises
    ------
    UserError
        A column is missing, or test and validation overlap or differ in their classes.
    """
    _require(predictions, groups, validation)
    cuts, calls = _thresholds(predictions, groups, validation, settings)
    codes = predictions.cluster_codes
    clusters = None if codes is None or len(np.unique(codes)) == len(codes) else codes
    draws = _Draws(predictions, clusters, settings.n_boot, np.random.default_rng(settings.seed), tick or _silent)

    whole = everyone(predictions)
    crossed = list(itertools.combinations(groups, 2)) if settings.intersections else []
    parts = [whole, *(partition(predictions, columns) for columns in (*((c,) for c in groups), *crossed))]
    rows: list[GroupRow] = []
    found: list[Gap] = []
    overall: Mapping[MetricKey, Estimate] = {}
    for part in parts:
        above = calls.of(part.column)
        data = [group_data(predictions, part.codes == g, clusters, above) for g in range(len(part.names))]
        samples = draws.bootstrap(part, data)
        made = [
            GroupRow(
                part.column,
                name,
                len(one.rows),
                None if one.clusters is None else len(np.unique(one.clusters)),
                dict(zip(predictions.classes, (int(c) for c in one.counts), strict=True)),
                group_estimates.estimates(one, drawn, overall, settings),
            )
            for name, one, drawn in zip(part.names, data, samples, strict=True)
        ]
        if part is whole:
            overall = made[0].metrics
        else:
            null = draws.permutations(
                part, group_data(predictions, np.ones(predictions.n, dtype=bool), clusters, above)
            )
            found += gaps.gaps(gaps.Drawn(part, data, samples, null), made, settings)
        is_crossed = part is not whole and part.column not in groups
        rows += group_estimates.shrink(made, settings.confidence) if is_crossed else made
    return Card(
        predictions.source,
        predictions.classes,
        tuple(groups),
        tuple(rows),
        tuple(found),
        cuts,
        settings,
        tuple(_notes(predictions, validation, rows, settings)),
        predictions.classifier,
    )


def steps(groups: Sequence[str], settings: CardSettings) -> int:
    """Resamples that `compute_card` reports through `tick`."""
    parts = len(groups) + (math.comb(len(groups), 2) if settings.intersections else 0)
    return settings.n_boot * (1 + 2 * parts)


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


@dataclass(frozen=True)
class _Calls:
    """Which test rows reach the thresholds, bool [n, k]: one threshold for all, and one for each group of a column."""

    everywhere: NDArray[np.bool_] | None
    own: Mapping[str, NDArray[np.bool_]]

    def of(self, column: str) -> Above:
        """By kind of threshold, for the groups of a column."""
        if self.everywhere is None:
            return {}
        return {"global": self.everywhere} | ({"group": self.own[column]} if column in self.own else {})


def _thresholds(
    predictions: Predictions, groups: Sequence[str], validation: Predictions | None, settings: CardSettings
) -> tuple[dict[str, dict[str, float]], _Calls]:
    """Thresholds by their names, and which test rows reach them."""
    if validation is None:
        return {}, _Calls(None, {})

    def fixed(rows: NDArray[np.bool_]) -> NDArray[np.floating]:
        return thresholds.by_class(
            validation.probs[rows], validation.labels[rows], settings.specificity, settings.min_count
        )

    whole = fixed(np.ones(validation.n, dtype=bool))
    named, own = {"global": whole}, {}
    for column in groups:
        own[column] = np.zeros(predictions.probs.shape, dtype=bool)
        for level in levels(predictions.groups[column]):
            cut = fixed((validation.groups[column] == level).to_numpy())
            cut = np.where(np.isfinite(cut), cut, whole)  # too few validation rows of the group: the global one
            named[f"{column}={level}"] = cut
            rows = (predictions.groups[column] == level).to_numpy()
            own[column][rows] = predictions.probs[rows] >= cut
    tables = {name: dict(zip(predictions.classes, (float(v) for v in cut), strict=True)) for name, cut in named.items()}
    return tables, _Calls(predictions.probs >= whole, own)


@dataclass(frozen=True)
class _Draws:
    """Draws resamples and permutations, a chunk at a time."""

    predictions: Predictions
    clusters: NDArray[np.int64] | None
    n_boot: int
    rng: np.random.Generator
    tick: Callable[[int], None]

    def bootstrap(self, part: Partition, groups: Sequence[GroupData]) -> list[Values]:
        """Metrics of each group in each resample, [n_boot] each."""
        units = part.units(self.predictions.labels, len(self.predictions.classes), self.clusters)
        drawn: list[list[Values]] = [[] for _ in groups]
        for size in resampling.chunks(self.n_boot):
            weights = resampling.bootstrap_weights(self.rng, units, size).astype(np.float32)
            for kept, one in zip(drawn, groups, strict=True):
                kept.append(metrics.evaluate(one.scored, weights[one.rows]))
            self.tick(size)
        return [_joined(kept) for kept in drawn]

    def permutations(self, part: Partition, whole: GroupData) -> list[Values]:
        """Metrics of each group in each permutation of the groups, [n_boot] each; whole: all rows."""
        drawn: list[list[Values]] = [[] for _ in part.names]
        for size in resampling.chunks(self.n_boot):
            shuffled = resampling.permuted_groups(self.rng, part.codes, self.predictions.labels, self.clusters, size)
            for code, kept in enumerate(drawn):
                kept.append(metrics.evaluate(whole.scored, (shuffled == code).astype(np.float32)))
            self.tick(size)
        return [_joined(kept) for kept in drawn]


def _joined(parts: Sequence[Values]) -> Values:
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]} if parts else {}


def _silent(n: int) -> None:
    return None


def _notes(
    predictions: Predictions, validation: Predictions | None, rows: Sequence[GroupRow], settings: CardSettings
) -> list[str]:
    notes = ["The gap of accuracy is the primary one; the p of the others are exploratory and not corrected."]
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
