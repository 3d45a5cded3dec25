"""What changed between two results beyond their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.measure.record import BenchmarkRecord, Measurement

Verdict = Literal["better", "worse", "changed", "same", "not enough data"]
#: With fewer samples on either side the test cannot reach the level below, however far apart they are.
ENOUGH = 4
LEVEL = 0.05


@dataclass(frozen=True)
class MeasurementChange:
    """One measurement in both results.

    Attributes
    ----------
    ratio
        Second median over first.
    p
        Of the exact two-sided Mann-Whitney test; NaN with too few samples.
    """

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    p: float
    verdict: Verdict


def compare(first: BenchmarkRecord, second: BenchmarkRecord, least: float = 0.02) -> list[MeasurementChange]:
    """Every measurement that both results have, in the first one's order.

    Parameters
    ----------
    least
        A change smaller than this fraction is called the same, however certain it is.
    """
    return [_change(m, other, least) for m in first.measurements if (other := second.get(m.name)) is not None]


def only_in_one(first: BenchmarkRecord, second: BenchmarkRecord) -> list[str]:
    """Names that one of the results lacks."""
    names = [{m.name for m in record.measurements} for record in (first, second)]
    return sorted(names[0] ^ names[1])


def differing_facts(first: BenchmarkRecord, second: BenchmarkRecord) -> dict[str, tuple[object, object]]:
    """Differences in device, driver, versions and settings, which may explain a change as well."""
    one, other = ({**r.facts.model_dump(), **r.facts.versions, **r.settings} for r in (first, second))
    names = [n for n in (*one, *(k for k in other if k not in one)) if n not in ("date", "load", "versions")]
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def _change(before: Measurement, after: Measurement, least: float) -> MeasurementChange:
    ratio = after.median / before.median if before.median else float("nan")
    p = _p(before.samples, after.samples)
    verdict: Verdict
    if p != p or ratio != ratio:
        verdict = "not enough data"
    elif p >= LEVEL or abs(ratio - 1) < least:
        verdict = "same"
    elif before.better == "neither":
        verdict = "changed"
    else:
        verdict = "better" if (ratio > 1) == (before.better == "higher") else "worse"
    return MeasurementChange(before.name, before.unit, before.median, after.median, ratio, p, verdict)


def _p(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy import stats

    if min(len(one), len(other)) < ENOUGH:
        return float("nan")
    return float(stats.mannwhitneyu(one, other, method="auto").pvalue)
