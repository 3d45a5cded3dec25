"""Paired differences between arms, and the families of verdicts that were named in advance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from evalsuite.stats import hypothesis_tests
from evalsuite.stats.verdict import Verdict, verdict
from evalsuite.study.arm_scores import Place, Scores
from evalsuite.study.kinds import CAUSAL, WHAT, Kind
from evalsuite.study.paired_scores import Score

Family = Literal["controls", "arms", "strategies"]


@dataclass(frozen=True)
class Gain:
    """A dose against real images only, in one group: points of score, paired.

    Attributes
    ----------
    p_holm
        Holm's p over the groups and sizes at the reference dose, the family named in advance; NaN elsewhere.
    """

    group: str
    strategy: str | None
    size: int
    ratio: float
    n: int
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True)
class Contrast(Gain):
    """The arm with synthetic images (or with those of one strategy) against another arm of the same dose, paired.

    Attributes
    ----------
    family
        `controls`: against what the same effort gives without synthetic images. `arms`: against the other optional
        arms, but for that of fewer steps. `strategies`: one strategy against another. Holm's p is over all contrasts of
        the family at the reference dose: groups, sizes and arms.
    first, second
        The arms in words; the value is the first one's score less the second one's.
    """

    family: Family
    first: str
    second: str

    @property
    def words(self) -> str:
        """The verdict, with the better arm's name where one is better than the other."""
        if self.family == "controls" or self.verdict not in ("helps", "hurts"):
            return self.verdict
        return f"{self.first if self.verdict == 'helps' else self.second} is better"


AnyGain = TypeVar("AnyGain", bound=Gain)


def gains(scores: Scores) -> list[Gain]:
    """Every dose against real images only."""
    found = []
    for place in scores.places():
        (_, real), *mixed = scores.doses(place)
        found += [Gain(*_difference(scores, place, ratio, score, real)) for ratio, score in mixed]
    return holm(found, scores.design.reference)


def contrasts(scores: Scores) -> list[Contrast]:
    """Every dose against the controls of the causal question and the other arms, and every pair of strategies."""
    others = tuple(kind for kind in scores.design.control_kinds if kind not in (*CAUSAL, "real-short"))
    families = (_against(scores, "controls", CAUSAL), _against(scores, "arms", others), _strategies(scores))
    return [found for family in families for found in holm(list(family), scores.design.reference)]


def _against(scores: Scores, family: Family, kinds: Sequence[Kind]) -> Iterator[Contrast]:
    for place, kind in itertools.product(scores.places(), kinds):
        for ratio, mixed in scores.doses(place)[1:]:
            control = scores.control(kind, place, ratio)
            if control is not None:
                named = "with synthetic images" + (f", {place[1]}" if place[1] else "")
                yield Contrast(*_difference(scores, place, ratio, mixed, control), family, named, WHAT[kind])


def _strategies(scores: Scores) -> Iterator[Contrast]:
    """The score of the first strategy less that of the second, at equal doses; `strategy` is the first one."""
    named = [strategy for strategy in scores.design.strategies if strategy]
    for (one, other), group, size in itertools.product(
        itertools.combinations(named, 2), scores.groups, scores.design.sizes
    ):
        pairs = zip(scores.doses((group, one, size))[1:], scores.doses((group, other, size))[1:], strict=True)
        for (ratio, first), (_, second) in pairs:
            difference = _difference(scores, (group, one, size), ratio, first, second)
            yield Contrast(*difference, "strategies", one, other)


Fields = tuple[str, str | None, int, float, int, float, float, float, float, float, Verdict]


def _difference(scores: Scores, place: Place, ratio: float, first: Score, second: Score) -> Fields:
    """The fields of a Gain."""
    found = first.minus(second)
    low, high = found.interval()
    word = verdict(found.value, low, high, scores.design.margin, not found.lacking)
    return (*place, ratio, first.n, found.value, low, high, found.p(), math.nan, word)


def holm(found: Sequence[AnyGain], reference: float) -> list[AnyGain]:
    """Within the family (what is judged at the reference dose) a verdict must survive Holm's correction."""
    family = [i for i, g in enumerate(found) if g.ratio == reference and g.verdict != "not enough data"]
    out, adjusted = list(found), hypothesis_tests.holm(np.array([found[i].p for i in family]))
    for i, p in zip(family, adjusted.tolist(), strict=True):
        sure = p < 0.05 or found[i].verdict not in ("helps", "hurts")
        out[i] = replace(found[i], p_holm=p, verdict=found[i].verdict if sure else "cannot be determined")
    return out
