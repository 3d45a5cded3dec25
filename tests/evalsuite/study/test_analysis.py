"""Planted gains are found for the right group, and none where none were planted."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import curve, new_grid, plant

from evalsuite.study import analysis
from evalsuite.study.study_findings import verdicts


def test_the_group_that_gains_is_found_and_the_other_is_not(planted: analysis.Analysis) -> None:
    """The whole point: for whom."""
    at = {(g.group, g.size): g for g in planted.gains if g.ratio == 10}
    truth = curve(3 * 8) - curve(8)
    assert at["light", 8].verdict == "helps"
    assert at["light", 8].low < truth < at["light", 8].high
    assert all(at["dark", n].verdict not in ("helps", "hurts") for n in planted.design.sizes)
    assert verdicts(planted)["light"].startswith("With 10 synthetic images for each real one, they help with 4 (+")


def test_the_planted_saturation_and_exchange_rate_are_found(planted: analysis.Analysis) -> None:
    """Gains end at 10:1, where each synthetic image stands for a fifth of a real one."""
    ratios = [planted.saturations["light", None, n].ratio for n in (4, 8)]
    assert ratios == [10, 10]
    worth = planted.exchanges["light", None, 8]
    assert worth.low <= 24 <= worth.high
    assert worth.rate == pytest.approx(0.2, abs=0.08)
    assert "above the fitted range" in planted.exchanges["light", None, 32].text()


def test_false_alarms_stay_at_the_stated_rate(tmp_path: Path) -> None:
    """With no effect at all hardly any verdict in the family may say helps or hurts."""
    said = []
    for seed in range(2):
        made = new_grid(ratios=(10,), seeds=3)
        plant(tmp_path / str(seed), made, lambda kind, n, ratio, group: curve(n))
        gains = analysis.analyse(tmp_path / str(seed), n_boot=100).gains
        said += [g.verdict for g in gains]
    assert sum(v in ("helps", "hurts") for v in said) <= 1
