"""The largest difference between skin types over all training runs of an arm: one run's luck is no finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalsuite.stats.largest_difference import LargestDifference, Side, largest_difference
from evalsuite.study.paired_scores import Score


@dataclass(frozen=True)
class SkinTypeGap:
    """The worst and the best skin type of an arm; `known` says how surely they differ."""

    worst: str
    worst_score: Score
    best: str
    best_score: Score
    known: LargestDifference

    @property
    def difference(self) -> float:
        return self.best_score.value - self.worst_score.value

    def text(self) -> str:
        """Who is worst and by how much, or what would have been seen."""
        seeds = len(self.worst_score.by_seed)
        over = f" over {seeds} training runs" if seeds > 1 else ""
        between = f"{100 * self.known.low:.1f} to {100 * self.known.high:.1f}"
        gap = f"a gap of {100 * self.difference:.1f} points ({between}){over}"
        if self.known.p <= 0.05:
            return f"Worst for {self.worst}, best for {self.best}: {gap}, p {_p(self.known.p)}."
        return (
            f"Whether skin types differ cannot be determined: {gap}, p {_p(self.known.p)}; a gap of "
            f"{100 * self.known.detectable:.1f} points would have been seen with a chance of 80 %."
        )


def skin_type_gap(by_group: Mapping[str, Score]) -> SkinTypeGap | None:
    """Of the skin types that nothing lacks for; None where there are fewer than two."""
    judged = {group: score for group, score in by_group.items() if not score.lacking}
    if len(judged) < 2:
        return None
    worst, best = min(judged, key=lambda g: judged[g].value), max(judged, key=lambda g: judged[g].value)
    sides = [Side(score.value, score.interval) for score in judged.values()]
    return SkinTypeGap(worst, judged[worst], best, judged[best], largest_difference([sides]))


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
