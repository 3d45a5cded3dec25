"""What the parts of a study's page share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalsuite.page.blocks import Table, p_value, records
from evalsuite.stats.estimate import points
from evalsuite.study.analysis import Analysis, Line
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Contrast, Gain
from evalsuite.study.outcomes import in_words


def pick(found: Analysis, group: str, kind: str, strategy: str | None, ratio: float) -> list[Line]:
    """The lines of an arm, one for each number of real images."""
    return [x for x in found.lines if (x.group, x.kind, x.strategy, x.ratio) == (group, kind, strategy, ratio)]


def metric(found: Analysis) -> str:
    """What is measured, in words."""
    return in_words(found.design.metric)


def not_judged(lacking: Mapping[str, str]) -> list[str]:
    """A sentence for each reason why groups are not judged, on which no number is shown either."""
    reasons: dict[str, list[str]] = {}
    for group, lacks in lacking.items():
        if lacks and group != ALL:
            reasons.setdefault(lacks, []).append(group)
    return [f"Not enough data for {', '.join(groups)}: {lacks}." for lacks, groups in reasons.items()]


def differences(lacking: Mapping[str, str], shown: Sequence[Gain], caption: str = "") -> Table:
    """A row for each difference in all and in the groups that nothing lacks for."""
    rows = []
    for g in (g for g in shown if g.group == ALL or not lacking[g.group]):
        gain, between = points(g.value, g.low, g.high)
        arms = (
            {"arm": g.first, "against": g.second}
            if isinstance(g, Contrast)
            else {"strategy": g.strategy or "all synthetic images"}
        )
        rows.append(
            {
                "group": g.group,
                **arms,
                "real per class": str(g.size),
                "dose": f"{g.ratio:g}:1",
                "n": str(g.n),
                "gain, points": gain,
                "95% interval": between,
                "p": p_value(g.p),
                "Holm p": p_value(g.p_holm),
                "verdict": g.words if isinstance(g, Contrast) else g.verdict,
            }
        )
    return records(rows, caption)
