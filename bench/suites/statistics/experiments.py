"""What is simulated: each experiment draws one table and says which statements about it were true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from bench.suites.statistics import planted_studies
from bench.suites.statistics.planted_tables import CLASSES, MANY, Design, draw, true_sensitivity, truth
from bench.suites.statistics.reader_studies import RARE_GROUPS, STUDIES_OF_READERS, rare_group, reader_study
from evalsuite.fairness import metrics
from evalsuite.fairness.card import Card, CardSettings
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.comparison import Change
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import Predictions
from evalsuite.stats.estimate import Estimate

Outcome = dict[str, bool]
ALARM, COVERED, WRONG, FOUND = "false alarm", "covered", "called no worse", "found"
#: Of a largest difference: an interval that holds whichever groups are apart holds more where several share an end.
AT_LEAST = "covered at least"
#: Percent that an outcome may have, least and most.
BARS: Mapping[str, tuple[float, float]] = {
    ALARM: (0, 6),
    COVERED: (93, 97),
    WRONG: (0, 2.5),
    FOUND: (80, 100),
    AT_LEAST: (93, 100),
}

TWO_UNEQUAL = Design((500, 60))
SIX_LIKE_FITZPATRICK = Design((589, 962, 662, 556, 307, 127))
SIX_SMALL = Design((60, 150, 180, 120, 60, 30))
TWELVE = Design((60,) * 4 + (120,) * 4 + (240,) * 4)
CLUSTERED = Design((240,) * 6, patients=60, alike=0.7)
FEW_PATIENTS = {count: Design((12 * count,), (0.65, 0.35), 1.6, (), count, 0.6) for count in (8, 15, 30, 60)}
NULLS = {
    "two unequal groups": TWO_UNEQUAL,
    "six groups like Fitzpatrick17k": SIX_LIKE_FITZPATRICK,
    "six small groups": SIX_SMALL,
    "twelve groups": TWELVE,
    "six groups of 60 patients": CLUSTERED,
}
#: Metrics whose gap is tested, and whose intervals are looked at.
TESTED = ("accuracy", "balanced_accuracy", "macro_f1", "brier", "ece", "auroc", "auprc", "sensitivity:melanoma")
SETTINGS = CardSettings(intersections=False)


@dataclass(frozen=True)
class Experiment:
    """One design.

    Attributes
    ----------
    name
        Of the file with its counts too.
    tables
        How many are drawn in a full run.
    one
        Draws a table and judges it; outcomes are named `what: which metric`.
    """

    name: str
    tables: int
    one: Callable[[np.random.Generator], Outcome]


def experiments() -> list[Experiment]:
    """All of them, the shortest first."""
    return [
        *(
            Experiment(f"no worse, {positives} positives", 4000, _false_no_worse(positives))
            for positives in (12, 20, 40)
        ),
        *(Experiment(f"change, {n} rows", 1000, _change(n)) for n in (60, 300)),
        *(Experiment(f"{patients} patients", 1000, _coverage(design)) for patients, design in FEW_PATIENTS.items()),
        *(Experiment(f"one group of {n}", 1000, _coverage(Design((n,)))) for n in (100, 600)),
        *(Experiment(f"no gap, {name}", 1000, _no_gap(design)) for name, design in NULLS.items()),
        *(Experiment(f"a planted gap, {n} rows a group", 600, _planted_gap(n)) for n in (100, 400)),
        *(
            Experiment(f"own thresholds, validation {held_out}, test {test}", 600, _own_thresholds(held_out, test))
            for held_out, test in ((600, 600), (600, 6000), (2400, 2400))
        ),
        Experiment("crossings of 20 patients", 300, _crossings),
        *(
            Experiment(f"doses, {n} test images, {seeds} seeds", 60, _doses(n, seeds))
            for n, seeds in ((300, 3), (2000, 5))
        ),
        *(
            Experiment(f"{readers} readers, {cases} cases{scale}", 1000, reader_study(readers, cases, steps))
            for readers, cases, scale, steps in STUDIES_OF_READERS
        ),
        *(
            Experiment(f"rare group, {n} labels, share {share:g}, stand-ins {agree:g} and {bias:g}", 2000, judge)
            for n, share, agree, bias in RARE_GROUPS
            for judge in (rare_group(n, 10 * n, share, agree, bias),)
        ),
    ]


def _no_gap(design: Design) -> Callable[[np.random.Generator], Outcome]:
    def one(rng: np.random.Generator) -> Outcome:
        card = compute_card(draw(rng, design), ["fst"], SETTINGS)
        return {f"{ALARM}: gap in {gap.metric}": gap.beyond_chance for gap in card.gaps if _is_tested(gap.metric)}

    return one


def _is_tested(metric: MetricKey) -> bool:
    return str(metric) in (*TESTED, "equal_opportunity", "equalised_odds", "demographic_parity")


def _planted_gap(n: int) -> Callable[[np.random.Generator], Outcome]:
    """The fifth of six groups is worse; does the interval hold the true largest difference?"""
    design = Design((n,) * 6, lost=(0, 0, 0, 0, 0.7, 0))

    def one(rng: np.random.Generator) -> Outcome:
        card = compute_card(draw(rng, design), ["fst"], SETTINGS)
        out: Outcome = {}
        for gap in card.gaps:
            if str(gap.metric) in TESTED:
                true = abs(truth(design, 0)[gap.metric] - truth(design, 4)[gap.metric])
                out[f"{AT_LEAST}: gap in {gap.metric}"] = gap.low <= true <= gap.high
        return out

    return one


def _coverage(design: Design) -> Callable[[np.random.Generator], Outcome]:
    """The intervals of one group; what is not shown for lack of rows is not judged."""

    def one(rng: np.random.Generator) -> Outcome:
        table = draw(rng, design)
        halves = table.with_group("fst", np.where(np.arange(table.n) % 2, "a", "b"))
        row, true = compute_card(halves, ["fst"], SETTINGS).row(), truth(design, 0)
        return {
            f"{COVERED}: {key}": made.low <= true[key] <= made.high
            for key, made in row.metrics.items()
            if key in true and made.enough and (not key.cls or key.cls == "melanoma")
        }

    return one


def _own_thresholds(held_out: int, test: int) -> Callable[[np.random.Generator], Outcome]:
    """Six equal groups, thresholds at 90 % specificity fixed on validation rows for each group and for all."""
    design = Design((test // 6,) * 6, (0.7, 0.3), 1.6)
    validating = replace(design, sizes=(held_out // 6,) * 6)
    key = {kind: MetricKey("sensitivity", kind, "melanoma") for kind in ("global", "group")}

    def one(rng: np.random.Generator) -> Outcome:
        card = compute_card(draw(rng, design), ["fst"], SETTINGS, validation=draw(rng, validating, "v"))
        true, overall, own = true_sensitivity(design, 0, 1, 0.9), card.row()[key["global"]], card.row("fst", "I")
        return {
            f"{COVERED}: sensitivity, one threshold": _holds(overall, true),
            f"{COVERED}: sensitivity of a group, own threshold": _holds(own[key["group"]], true),
            **{f"{ALARM}: gap in {metric}": _alarm(card, metric) for metric in key.values()},
        }

    return one


def _holds(made: Estimate, true: float) -> bool:
    return made.low <= true <= made.high


def _alarm(card: Card, metric: MetricKey) -> bool:
    return card.gap("fst", metric).beyond_chance


def _crossings(rng: np.random.Generator) -> Outcome:
    """Accuracies of crossings shrunk towards each other, three groups by two, rows of 20 patients a group."""
    design = Design((160, 160, 160), patients=20, alike=0.7)
    table = draw(rng, design)
    crossed = replace(table, groups=table.groups.assign(sex=rng.choice(["f", "m"], table.n)))
    card = compute_card(crossed, ["fst", "sex"], CardSettings())
    true = truth(design, 0)[MetricKey("accuracy")]
    shrunk = [row.shrunk for row in card.of("fst x sex")]
    first = shrunk[int(rng.integers(len(shrunk)))]
    assert first is not None
    return {f"{COVERED}: accuracy of a crossing, shrunk": first.low <= true <= first.high}


def _doses(n: int, seeds: int) -> Callable[[np.random.Generator], Outcome]:
    """A saturation at 10:1, and a gain of three points a doubling that does not end."""

    def one(rng: np.random.Generator) -> Outcome:
        found = planted_studies.saturation(rng, planted_studies.UP_TO_TEN, n, seeds)
        rising = planted_studies.saturation(rng, planted_studies.RISING, n, seeds)
        out = {
            f"{ALARM}: saturation below 10:1": found.ratio < 10 and found.status == "reached",
            f"{ALARM}: saturation of a rising gain": rising.status not in ("not reached", "cannot be determined"),
        }
        if n >= 2000:
            out[f"{FOUND}: saturation at 10:1"] = (found.ratio, found.status) == (10, "reached")
        return out

    return one


def _pair(rng: np.random.Generator, design: Design, loss: float, gain: float) -> tuple[Predictions, Predictions]:
    """Two models; b calls wrongly a share of what a has right, and rightly a share of what a has wrong."""
    a = draw(rng, design)
    right, k, rows = a.probs.argmax(axis=1) == a.labels, len(a.classes), np.arange(a.n)
    to = np.where(right, (a.labels + rng.integers(1, k, a.n)) % k, a.labels)
    flipped, called = rng.random(a.n) < np.where(right, loss, gain), a.probs.argmax(axis=1)
    probs = a.probs.copy()
    probs[rows, called], probs[rows, to] = a.probs[rows, to], a.probs[rows, called]
    return a, replace(a, probs=np.where(flipped[:, None], probs, a.probs))


@cache
def _true_change(design: Design, loss: float, gain: float) -> dict[MetricKey, float]:
    """Of every metric, in tables without end."""
    pair = _pair(np.random.default_rng(0), replace(design, sizes=(MANY,)), loss, gain)
    before, after = (metrics.one(metrics.score(t.probs, t.labels, t.classes)) for t in pair)
    return {key: after[key] - before[key] for key in before}


def _false_no_worse(positives: int) -> Callable[[np.random.Generator], Outcome]:
    """Margin 2 points, true loss 5 in each of two classes: how often is it called no worse?"""
    keys = [MetricKey("sensitivity", cls="melanoma"), MetricKey("balanced_accuracy"), MetricKey("macro_f1")]
    names = CLASSES[:2]
    labels = np.arange(2 * positives) % 2
    a = Predictions(
        np.array([f"i{i}" for i in range(len(labels))]),
        names,
        labels,
        np.where(np.eye(2)[labels] == 1, 0.9, 0.1),
        pd.DataFrame({"fst": np.where(np.arange(len(labels)) // 2 % 2, "a", "b")}),
    )

    def one(rng: np.random.Generator) -> Outcome:
        lost = rng.random(a.n) < 0.05
        b = replace(a, probs=np.where(lost[:, None], a.probs[:, ::-1], a.probs))
        return {f"{WRONG}: {key}": _overall(a, b, key).no_worse for key in keys}

    return one


def _overall(a: Predictions, b: Predictions, key: MetricKey) -> Change:
    return compare(a, b, ["fst"], SETTINGS, metric=key).of("all")[0]


def _change(n: int) -> Callable[[np.random.Generator], Outcome]:
    """The interval of a change: 10 % of what is right is lost, 30 % of what is wrong is gained."""
    design, loss, gain = Design((n,)), 0.1, 0.3
    keys = [MetricKey(kind) for kind in ("accuracy", "balanced_accuracy", "macro_f1", "auroc")]

    def one(rng: np.random.Generator) -> Outcome:
        a, b = _pair(rng, design, loss, gain)
        a = a.with_group("fst", np.where(np.arange(n) % 2, "a", "b"))
        true, out = _true_change(design, loss, gain), {}
        for key in keys:
            made = _overall(a, b, key)
            out[f"{COVERED}: change of {key}"] = made.low <= true[key] <= made.high
        return out

    return one
