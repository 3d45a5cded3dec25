"""Fairness cards and comparisons of tables of predictions, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import GROUP_IMAGES
from evalsuite.fairness import compare_models
from evalsuite.fairness import merge as merging
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import from_frame
from evalsuite.fairness.question import Question, as_asked
from evalsuite.report.notebook import NotebookCard, NotebookComparison, shown_card, shown_comparison


def fairness_card(
    predictions: pd.DataFrame,
    *,
    groups: str | Sequence[str],
    positive: str | Sequence[str] | None = (),
    primary: str = "",
    merge: Mapping[str, Sequence[str]] | Sequence[str] = (),
    contrast: str = "",
    prevalence: float | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    validation: pd.DataFrame | None = None,
    specificity: float = 0.9,
    confidence: float = 0.95,
    min_count: int = GROUP_IMAGES,
    intersections: bool = True,
) -> NotebookCard:
    """Metrics by group with intervals, and each gap with its own interval and p.

    The numbers are those of `evalsuite fairness`. A notebook shows the card as tables and plots.

    Parameters
    ----------
    predictions
        One row for each test image, with the columns `id`, `label`, `prob_<class>` for each class (from 0 to 1,
        summing to 1), and the group columns.
    groups
        Names of the group columns, such as skin type and sex.
    positive
        The class, or the classes together, that matter: `"melanoma"`. The first sentence is about their sensitivity.
    primary
        Metric of the first sentence: `sensitivity`, `sensitivity@spec90` (with `validation`), `auroc`, `accuracy` and
        so on. None named: the sensitivity of `positive`, without it the accuracy.
    merge
        Groups to put together: `["I-II", "III-IV", "V-VI"]` in the first column, or a mapping of columns to ranges.
        Missing groups stay apart.
    contrast
        Groups of the first column that are compared with all others, such as `"V-VI"`. None named: the last of three
        or more merged ranges; `"none"`: no such comparison.
    prevalence
        Share of `positive` where the classifier will be used, above 0 and below 1: adds PPV and NPV.
    cluster
        Column that names the patient or lesion cluster, which is what the intervals take as independent. None: the
        column `cluster` where there is one, else each row by itself.
    weight
        Column of survey or sampling weights. None: every row counts alike.
    validation
        Predictions for validation images with the same columns. They set the thresholds of the sensitivity at a fixed
        specificity; without them that metric is left out.
    specificity
        The fixed specificity, between 0 and 1.
    confidence
        Of the intervals, from 0.5 to 0.999.
    min_count
        Rows that a number needs, at least 2; below that it is shown as "not enough data".
    intersections
        Whether pairs of group columns are crossed.

    Returns
    -------
    NotebookCard
        `to_frame()`, `gaps_frame()` and `to_json()` give the numbers, `worst(column)` the worst group of a column.

    Raises
    ------
    ValueError
        A column or value is missing or of the wrong kind, or the validation images are among the test images. The
        message says which and what to do.

    Examples
    --------
    >>> import dermforge
    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> fst, label = rng.choice(["I-II", "III-IV", "V-VI"], 400), rng.choice(["benign", "malignant"], 400)
    >>> right = rng.random(400) < np.where(fst == "V-VI", 0.7, 0.9)
    >>> malignant = np.where((label == "malignant") == right, 0.8, 0.2)
    >>> table = pd.DataFrame(
    ...     {"id": range(400), "label": label, "fst": fst, "prob_benign": 1 - malignant, "prob_malignant": malignant}
    ... )
    >>> card = dermforge.fairness_card(table, groups=["fst"])
    >>> group, accuracy = card.worst("fst")
    >>> print(group, accuracy.text())
    V-VI 0.702 (0.625 to 0.769)
    >>> card.gap("fst").beyond_chance
    True
    """
    groups = _named(groups)
    _require_ranges(confidence, min_count, specificity)
    if prevalence is not None and not (positive and 0 < prevalence < 1):
        raise UserError(f"prevalence {prevalence:g}: expected a share above 0 and below 1 of the positive classes")
    settings = CardSettings(
        confidence=confidence,
        specificity=specificity,
        min_count=min_count,
        intersections=intersections,
        prevalence=prevalence,
    )
    test = from_frame(predictions, groups=groups, cluster=cluster, weight=weight)
    ranges, held_out = merging.given(merge, groups), None
    if validation is not None:
        own = cluster if cluster in validation.columns else None
        held_out = from_frame(validation, groups=groups, cluster=own, source="the validation table").written_like(test)
        held_out = merging.merge(held_out, ranges, may_lack=True)
    test = merging.merge(test, ranges)
    planned = merging.planned(contrast, ranges.get(groups[0], ()))
    question = Question(_positive(positive), primary, planned)
    card = compute_card(test, groups, settings, validation=held_out, question=question)
    return shown_card(card)


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    groups: str | Sequence[str],
    positive: str | Sequence[str] = (),
    merge: Mapping[str, Sequence[str]] | Sequence[str] = (),
    cluster: str | None = None,
    weight: str | None = None,
    metric: str = "",
    margin: float = 0.02,
    confidence: float = 0.95,
    min_count: int = GROUP_IMAGES,
) -> NotebookComparison:
    """Compare model b with model a on the same test images, group by group, paired image by image.

    The numbers are those of `evalsuite fairness B --against A`. A notebook shows them as a table.

    Parameters
    ----------
    a, b
        Predictions of each model as for `fairness_card`, for the same ids and labels.
    groups
        Names of the group columns of `a`; p values are corrected (Holm) over the groups of the first.
    positive
        The classes that are positive, together against the rest.
    merge, cluster, weight
        As for `fairness_card`, of `a`.
    metric
        The metric that is compared; more must be better. Default: accuracy, or the sensitivity of the positive classes.
    margin
        Loss that still counts as no worse, in units of the metric.
    confidence, min_count
        As for `fairness_card`.

    Returns
    -------
    NotebookComparison
        `to_frame()` gives a row for each group; `gaps` says what happened to each gap, and whether it closed because
        somebody got worse.

    Raises
    ------
    ValueError
        The tables differ in ids, labels or classes, or as for `fairness_card`.

    Examples
    --------
    >>> import dermforge
    >>> import numpy as np
    >>> import pandas as pd
    >>> images = pd.DataFrame(
    ...     {"id": range(200), "fst": ["I-III"] * 100 + ["IV-VI"] * 100, "label": ["benign", "malignant"] * 100}
    ... )
    >>> malignant = np.array([0.2, 0.8] * 100)
    >>> after = images.assign(prob_malignant=malignant, prob_benign=1 - malignant)
    >>> malignant[120:] = 0.2
    >>> before = images.assign(prob_malignant=malignant, prob_benign=1 - malignant)
    >>> made = dermforge.compare(before, after, groups=["fst"])
    >>> print(made.of("fst")[1].text())
    0.600 -> 1.000, +0.400 (+0.309 to +0.498)
    """
    groups = _named(groups)
    _require_ranges(confidence, min_count)
    first = from_frame(a, groups=groups, cluster=cluster, weight=weight, source="table a")
    first = merging.merge(first, merging.given(merge, groups))
    second = from_frame(b, groups=[], source="table b").written_like(first)
    question = Question(_positive(positive))
    key = MetricKey.parse(metric) if metric else question.metric
    made = compare_models.compare(
        as_asked(first, key, question),
        as_asked(second, key, question),
        groups,
        CardSettings(confidence=confidence, min_count=min_count),
        metric=key,
        margin=margin,
    )
    return shown_comparison(made)


def _positive(positive: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of classes; a name by itself is one class, not its letters."""
    return (positive,) if isinstance(positive, str) and positive else tuple(positive or ())


def _named(groups: str | Sequence[str]) -> list[str]:
    """Group columns; a name by itself is one column, not its letters."""
    names = [groups] if isinstance(groups, str) else list(groups)
    if not any(names):
        raise UserError('groups: none given; expected names of group columns, such as ["fst"]')
    return names


def _require_ranges(confidence: float, min_count: int, specificity: float = 0.9) -> None:
    """The ranges of the command's options: 95 is no confidence."""
    for name, value, low in (("confidence", confidence, 0.5), ("specificity", specificity, 0.01)):
        if not low <= value <= 0.999:
            raise UserError(f"{name} {value:g}: expected a share from {low:g} to 0.999")
    if min_count < 2:
        raise UserError(f"min_count {min_count}: expected at least 2 rows")
