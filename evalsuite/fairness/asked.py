"""What a question adds to a card: several positive classes as one, a planned contrast, predictive values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import group_estimates
from evalsuite.fairness.card import CardSettings, GroupRow
from evalsuite.fairness.cuts import EVERYWHERE, Cuts, fix_cuts
from evalsuite.fairness.merge import against_others
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.partition import group_data
from evalsuite.fairness.predictions import Predictions
from evalsuite.fairness.predictive_values import predictive_values
from evalsuite.fairness.question import Question, collapse
from evalsuite.stats.estimate import Estimate


@dataclass(frozen=True)
class Together:
    """Several positive classes as one: the same rows as a table of two classes.

    Attributes
    ----------
    clusters
        Cluster codes of all rows; None where each row stands alone.
    """

    table: Predictions
    cuts: Cuts
    clusters: NDArray[np.int64] | None
    settings: CardSettings

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        validation: Predictions | None,
        columns: Sequence[str],
        question: Question,
        settings: CardSettings,
    ) -> Together | None:
        """None where no class or a single one is positive: a card has every class against the rest anyway."""
        if not question.positive:
            return None
        table = collapse(predictions, question.positive)  # a single class too: it is refused where it is unknown
        if len(question.positive) == 1:
            return None
        held = None if validation is None else collapse(validation, question.positive)
        cuts = fix_cuts(held, table, columns, settings.specificity, settings.min_count, settings.sensitivity)
        codes = table.cluster_codes
        return cls(table, cuts, None if codes is None or is_alone(codes) else codes, settings)

    def added(self, row: GroupRow, mask: NDArray[np.bool_], overall: Mapping[MetricKey, Estimate]) -> GroupRow:
        """The row of a group with the metrics of the positive classes."""
        name = self.table.classes[0]
        one = group_data(self.table, mask, self.clusters, self.cuts.of(row.column, row.group))
        found = group_estimates.estimates(one, overall, self.settings)
        return replace(
            row,
            positives={**row.positives, name: int(one.counts[0])},
            metrics={**row.metrics, **{key: made for key, made in found.items() if key.cls == name}},
        )


def is_alone(codes: NDArray[np.int64]) -> bool:
    """Whether each row is a cluster of its own."""
    return len(np.unique(codes)) == len(codes)


def contrasted(
    predictions: Predictions, validation: Predictions | None, column: str, one: str
) -> tuple[str, Predictions, Predictions | None]:
    """The column of a planned contrast, and the tables with it."""
    if not one:
        return "", predictions, validation
    name, predictions = against_others(predictions, column, one)
    if validation is not None:
        _, validation = against_others(validation, column, one, may_lack=True)
    return name, predictions, validation


def require_primary(primary: MetricKey, whole: GroupRow, validation: Predictions | None) -> None:
    """Refuse a primary metric that the card does not have.

    Raises
    ------
    UserError
        Says what it needs, or which metrics there are.
    """
    if primary in whole:
        return
    if primary.kind in ("ppv", "npv"):
        raise UserError(f"the primary metric {str(primary)!r} needs a prevalence and the positive class")
    if primary.threshold and validation is None:
        raise UserError(f"the primary metric {str(primary)!r} needs validation predictions: they fix its threshold")
    raise UserError(f"unknown primary metric {str(primary)!r}; expected one of {', '.join(map(str, whole.metrics))}")


def with_predictive_values(row: GroupRow, positive: str, settings: CardSettings) -> GroupRow:
    """The row with PPV and NPV of the positive classes, where a prevalence is stated."""
    if settings.prevalence is None or not positive:
        return row
    found: dict[MetricKey, Estimate] = {}
    for threshold in ("", EVERYWHERE):
        keys = [MetricKey(kind, threshold, positive) for kind in ("sensitivity", "specificity")]
        if all(key in row.metrics for key in keys):
            sensitivity, specificity = (row.metrics[key] for key in keys)
            values = predictive_values(sensitivity, specificity, settings.prevalence, settings.confidence)
            found |= {MetricKey("ppv", threshold, positive): values.ppv}
            found |= {MetricKey("npv", threshold, positive): values.npv}
    return replace(row, metrics={**row.metrics, **found})
