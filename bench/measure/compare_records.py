"""What changed between two results beyond their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from bench.measure.record import Measurement, Record

Verdict = Literal["better", "worse", "changed", "same", "not enough data"]
#: Fewer samples than this on either side cannot reach the level below, however far apart they are.
ENOUGH = 4
LEVEL = 0.05


@dataclass(frozen=True)
class Change:
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


def compare(first: Record, second: Record, least: float = 0.02) -> list[Change]:
    """Every measurement that both results have, in the first one's order.

    Parameters
    ----------
    least
        A change smaller than this part is none, however certain.
    """
    return [_change(m, other, least) for m in first.measurements if (other := second.get(m.name)) is not None]


def only_in_one(first: Record, second: Record) -> list[str]:
    """Names that one of the results lacks."""
    names = [{m.name for m in record.measurements} for record in (first, second)]
    return sorted(names[0] ^ names[1])


def differing_facts(first: Record, second: Record) -> dict[str, tuple[object, object]]:
    """What else is different: device, driver, versions, settings. A comparison across these is of both at once."""
    one, other = ({**r.facts.model_dump(), **r.facts.versions, **r.settings} for r in (first, second))
    names = [n for n in (*one, *(k for k in other if k not in one)) if n not in ("date", "load", "versions")]
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def _change(before: Measurement, after: Measurement, least: float) -> Change:
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
    return Change(before.name, before.unit, before.median, after.median, ratio, p, verdict)


def _p(one: Sequence[float], other: Sequence[float]) -> float:
    if min(len(one), len(other)) < ENOUGH:
        return float("nan")
    return float(stats.mannwhitneyu(one, other, method="auto").pvalue)
