"""What a comparison of readers is about: the figure of merit, its covariances, and what is fixed."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """A figure of merit; the last two need a rating from which a case is called positive."""

    auroc = "auroc"
    sensitivity = "sensitivity"
    specificity = "specificity"


class CovarianceMethod(StrEnum):
    """How covariances are estimated."""

    jackknife = "jackknife"
    delong = "delong"
    unbiased = "unbiased"


class Fixed(StrEnum):
    """What the conclusion does not reach beyond: nothing, these readers, or these cases."""

    neither = "neither"
    readers = "readers"
    cases = "cases"
