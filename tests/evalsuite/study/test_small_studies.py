"""Pages of studies of any size: no impossible number, and no verdict below the least numbers."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from study_helpers import new_grid, plant

from dermforge.common.least_numbers import ARM_SEEDS, CLASS_IMAGES, GROUP_IMAGES
from evalsuite.page.blocks import Report, Section
from evalsuite.page.render import page
from evalsuite.report import study_report
from evalsuite.stats.estimate import NOT_ENOUGH
from evalsuite.study import analysis, study_findings
from evalsuite.study.arm_scores import ALL

VERDICTS = r"\bhelp|\bhurt|no relevant|cannot be determined|not reached|\(chosen\)|at the latest|or fewer"
POINTS = re.compile(r"([-+]\d+\.\d) to ([-+]\d+\.\d)")


def analysed(n: int, seeds: int, metric: str, chances: tuple[float, float]) -> analysis.Analysis:
    """A study of four sizes, of n test images in two groups, whose arms are right with these chances."""
    made = new_grid(sizes=(2, 4, 8, 16), ratios=(1, 2), seeds=seeds, metric=metric)
    made = made.model_copy(update={"controls": False})
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), made, lambda kind, n_real, ratio, group: chances[kind == "mix"], n=n)
        return analysis.analyse(Path(folder), n_boot=100)


@given(
    n=st.sampled_from([4, 12, 18, 24, 60]),
    seeds=st.sampled_from([1, 2, 3]),
    metric=st.sampled_from(["accuracy", "balanced_accuracy"]),
    chances=st.tuples(st.floats(0, 1), st.floats(0, 1)) | st.sampled_from([(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]),
)
@settings(max_examples=8, deadline=None)
def test_a_page_says_nothing_impossible_and_judges_nothing_from_too_little(
    n: int, seeds: int, metric: str, chances: tuple[float, float]
) -> None:
    found = analysed(n, seeds, metric, chances)
    for gain in found.gains:
        assert -1 <= gain.low <= gain.value <= gain.high <= 1
        assert not np.isfinite(gain.p) or (gain.p < 0.05) == (gain.low > 0 or gain.high < 0)
    assert all(0 <= line.low <= line.score <= line.high <= 1 for line in found.lines)
    for step in (s for v in found.saturations.values() for s in v.steps):
        assert -1 <= step.low <= step.gain <= step.high <= 1
    parts = [study_report._figure, study_report._dose, study_report._by_group, study_report._exchange]
    sections = [Section(str(i), part(found)) for i, part in enumerate([*parts, study_report._laws])]
    answer = study_report.answer(found)
    assert {value for _, value, _ in answer.numbers if found.lacking[ALL]} <= {NOT_ENOUGH}
    text = page([Report("title", answer, sections)])
    shown = [float(end) for pair in POINTS.findall(text) for end in pair]
    assert shown
    assert all(-100 <= end <= 100 for end in shown)
    assert "may hurt" not in text
    for group, words in study_findings.verdicts(found).items():
        images = next(g.n for g in found.gains if g.group == group)
        enough = images >= GROUP_IMAGES and seeds >= ARM_SEEDS
        if metric == "balanced_accuracy":
            enough = enough and images // 3 >= CLASS_IMAGES
        assert (found.lacking[group] == "") == enough
        assert words.startswith("Not enough data: ") == (not enough)
        judged = [s.is_determined for (g, _, _), s in found.saturations.items() if g == group]
        if not enough:
            assert not re.search(VERDICTS, words)
            assert {g.verdict for g in found.gains if g.group == group} == {"not enough data"}
            assert not any(judged)
            assert (group, None) not in found.laws
            assert not [place for place in found.exchanges if place[0] == group]
