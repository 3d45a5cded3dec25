"""Which metric a number is of."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "macro_f1": "macro F1",
    "brier": "Brier score",
    "top3": "top-3 accuracy",
    "ece": "calibration error",
    "equalised_odds": "equalised odds",
    "ppv": "PPV",
    "npv": "NPV",
}


class MetricKey(NamedTuple):
    """A metric, as text `sensitivity@group:plaque`.

    Attributes
    ----------
    kind
        `accuracy`, `sensitivity`, `auroc` and so on.
    threshold
        Kind of decision threshold: `global` (one for all), `group` (one for each), `sens` (one for all, at a
        sensitivity), or "" (the likeliest class).
    cls
        The class, one against the rest; "" for all.
    """

    kind: str
    threshold: str = ""
    cls: str = ""

    @classmethod
    def parse(cls, text: str | MetricKey) -> MetricKey:
        """The key of a text; a key stays as it is."""
        if isinstance(text, MetricKey):
            return text
        name, _, of_class = text.partition(":")
        kind, _, threshold = name.partition("@")
        return cls(kind, threshold, of_class)

    def __str__(self) -> str:
        return f"{self.name}:{self.cls}" if self.cls else self.name

    @property
    def name(self) -> str:
        """Without the class."""
        return f"{self.kind}@{self.threshold}" if self.threshold else self.kind

    @property
    def lower_is_better(self) -> bool:
        return self.kind in ("brier", "ece", "ece_plugin")

    @property
    def fixed(self) -> bool:
        """Whether the threshold was chosen for this value: its groups are shown and not judged by it."""
        return bool(self.threshold) and self.kind == ("sensitivity" if self.threshold == "sens" else "specificity")

    @property
    def ranked(self) -> bool:
        """Whether it needs the order of the scores, the costly part of `metrics.evaluate`."""
        return self.kind in ("auroc", "auprc")

    @property
    def shown(self) -> bool:
        """Whether a group has it on its card; the others are computed for gaps and tests alone."""
        return self.kind not in ("ece_plugin", "selection")

    def label(self, specificity: float | None = None, sensitivity: float | None = None) -> str:
        """As a reader knows it: `sensitivity@group` reads "sensitivity at 90% specificity, own threshold"."""
        if not self.threshold:
            return LABELS.get(self.kind, self.kind.replace("_", " "))
        level, what = (sensitivity, "sensitivity") if self.threshold == "sens" else (specificity, "specificity")
        at, whose = "fixed" if level is None else f"{level:.0%}", "own" if self.threshold == "group" else "one"
        return f"{LABELS.get(self.kind, self.kind)} at {at} {what}, {whose} threshold"


ACCURACY = MetricKey("accuracy")


class ShareMetric(StrEnum):
    """A share of images; the last two are of one class against the others."""

    accuracy = "accuracy"
    sensitivity = "sensitivity"
    specificity = "specificity"
