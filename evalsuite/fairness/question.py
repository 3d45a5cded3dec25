"""What a reader wants to know of a table, named before looking: which classes are positive, and the primary metric."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.predictions import Predictions

#: Metrics of one class against the rest: with positive classes named, theirs is meant.
OF_A_CLASS = ("sensitivity", "specificity", "auroc", "auprc", "ppv", "npv")
_AT = re.compile(r"(sensitivity@spec|specificity@sens)(\d+(?:\.\d+)?)")
_KINDS = {"sensitivity@spec": "sensitivity@global", "specificity@sens": "specificity@sens"}
REST = "all other classes"


@dataclass(frozen=True)
class Question:
    """What the first screen of a card answers.

    Attributes
    ----------
    positive
        Classes that count together against the rest (melanoma; or all malignant ones): probabilities are summed, and a
        row is called positive where its likeliest class is one of them.
    primary
        `sensitivity`, `specificity`, `auroc`, `accuracy` and so on, or `sensitivity@spec90` (at 90 % specificity, by a
        threshold of the validation predictions) and `specificity@sens90`. "": sensitivity of the positive classes,
        without them the accuracy.
    contrast
        Groups of the first column that are compared with all others, such as V-VI; "": all groups with each other.
    """

    positive: tuple[str, ...] = ()
    primary: str = ""
    contrast: str = ""

    @property
    def positive_name(self) -> str:
        """The positive classes as one: `melanoma`, `melanoma+bcc`."""
        return "+".join(self.positive)

    @property
    def metric(self) -> MetricKey:
        """The primary metric.

        Raises
        ------
        UserError
            It is of a class, and none is named.
        """
        if not self.primary:
            return MetricKey("sensitivity", cls=self.positive_name) if self.positive else ACCURACY
        at = _AT.match(self.primary)
        named = "" if at is None else _KINDS[at[1]] + self.primary[at.end() :]
        key = MetricKey.parse(named or self.primary)
        if not key.cls and self.positive and key.kind in OF_A_CLASS:
            key = key._replace(cls=self.positive_name)
        if not key.cls and not key.threshold and key.kind in ("sensitivity", "specificity"):
            raise UserError(f"the primary metric {self.primary!r} is of a class; name the positive class")
        return key

    def settings(self, settings: CardSettings) -> CardSettings:
        """The settings with the specificity or sensitivity that the primary metric names.

        Raises
        ------
        UserError
            It is not between 0 and 100 %.
        """
        at = _AT.match(self.primary)
        if at is None:
            return settings
        percent = float(at[2])
        if not 0 < percent < 100:
            raise UserError(f"the primary metric {self.primary!r}: expected a percentage above 0 and below 100")
        if at[1].startswith("specificity"):
            return replace(settings, sensitivity=percent / 100)
        return replace(settings, specificity=percent / 100)


def as_asked(predictions: Predictions, metric: MetricKey, question: Question) -> Predictions:
    """The table that has the class of the metric: that of two classes where several are positive together."""
    together = len(question.positive) > 1 and metric.cls == question.positive_name
    return collapse(predictions, question.positive) if together else predictions


#: No class is positive: the accuracy, of all groups.
ANYTHING = Question()


def collapse(predictions: Predictions, positive: Sequence[str]) -> Predictions:
    """The table with two classes: the positive ones as one, their probabilities summed, and all others.

    Raises
    ------
    UserError
        A class is unknown or named twice, or no other class is left.
    """
    unknown = [name for name in positive if name not in predictions.classes]
    has = ", ".join(predictions.classes)
    if unknown:
        raise UserError(f"{predictions.source}: unknown positive class {', '.join(unknown)}; its classes are {has}")
    if len(set(positive)) < len(positive) or len(positive) >= len(predictions.classes):
        raise UserError(
            f"{predictions.source}: positive classes {', '.join(positive)} of {has}; name each once, and leave another"
        )
    inside = np.isin(predictions.classes, positive)
    chance = np.clip(predictions.probs[:, inside].sum(axis=1), 0.0, 1.0)
    return replace(
        predictions,
        classes=("+".join(positive), REST),
        labels=np.where(inside[predictions.labels], 0, 1).astype(np.int64),
        probs=np.stack([chance, 1 - chance], axis=1),
        called=np.where(inside[predictions.predicted], 0, 1).astype(np.int64),
    )
