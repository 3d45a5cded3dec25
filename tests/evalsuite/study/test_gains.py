"""Contrasts tell what synthetic images do from what the same effort does without them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from study_helpers import curve, new_grid, plant

from evalsuite.stats.hypothesis_tests import holm
from evalsuite.study import analysis
from evalsuite.study.arm import RESULT
from evalsuite.study.design import PLAN, Design
from evalsuite.study.kinds import CAUSAL, CONTROLS, WHAT


def analysed(folder: Path, made: Design, gains: dict[str, float]) -> analysis.Analysis:
    """A study in which arms of these kinds, or mixed arms of this strategy, are better than real images only."""
    plant(folder, made, lambda kind, n, ratio, group: curve(n) + gains.get(kind, 0.0))
    return analysis.analyse(folder, n_boot=100)


@pytest.mark.parametrize("doses", ["reference", "all"])
def test_a_gain_that_repetition_brings_too_is_no_gain_of_the_images(tmp_path: Path, doses: str) -> None:
    """Repeated images and the mixed arm gain alike, RandAugment gains less: the two contrasts tell them apart."""
    made = new_grid(sizes=(4, 8), ratios=(2, 10), seeds=3, control_doses=doses)
    found = analysed(tmp_path / "s", made, {"mix": 0.15, "real-repeated": 0.15})
    at = {(c.second, c.group, c.size, c.ratio): c for c in found.contrasts}
    repeated, augmented = (WHAT[kind] for kind in CAUSAL)
    assert all(at[augmented, "all", n, 10].verdict == "helps" for n in (4, 8))
    assert all(at[repeated, "all", n, 10].verdict in ("no relevant difference", "cannot be determined") for n in (4, 8))
    assert all(g.verdict == "helps" for g in found.gains if g.group == "all" and g.ratio == 10)
    repeated_at = {ratio for second, _, _, ratio in at if second == repeated}
    assert repeated_at == ({2, 10} if doses == "all" else {10})
    assert {ratio for second, _, _, ratio in at if second == augmented} == {2, 10}


def test_the_family_is_all_that_is_judged_at_the_reference_dose(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", new_grid(sizes=(4, 8), ratios=(2, 10), seeds=3), {"mix": 0.05})
    for name, arms in (("controls", len(CAUSAL)), ("arms", 1)):  # the other arm: synthetic images only
        family = [c for c in found.contrasts if c.ratio == 10 and c.family == name]
        assert len(family) == 3 * 2 * arms  # all, dark, light
        assert [c.p_holm for c in family] == pytest.approx(holm(np.array([c.p for c in family])))
        assert all(c.p_holm < 0.05 for c in family if c.verdict in ("helps", "hurts"))
    assert all(np.isnan(c.p_holm) for c in found.contrasts if c.ratio != 10)


def test_every_pair_of_strategies_is_compared_at_every_size_and_dose(tmp_path: Path) -> None:
    made = new_grid(sizes=(4, 8), ratios=(2, 10), seeds=3, strategies=("a", "b", "c"))
    found = analysed(tmp_path / "s", made, {"mix": 0.1})
    mine = [c for c in found.contrasts if c.family == "strategies"]
    pairs = itertools.combinations("abc", 2)
    expected = set(itertools.product(pairs, ("all", "dark", "light"), (4, 8), (2.0, 10.0)))
    assert {((c.first, c.second), c.group, c.size, c.ratio) for c in mine} == expected
    assert all(c.value == 0 and c.words in ("no relevant difference", "cannot be determined") for c in mine)


def test_a_study_of_before_keeps_the_arms_that_it_has(tmp_path: Path) -> None:
    """Its plan names none of the later settings, and its controls were at the largest dose up to 10:1."""
    made = new_grid(ratios=(2, 12))
    later = {"control_doses", "optional", "val_fraction", "generators", "groups"}
    fields = made.model_dump(mode="json", exclude=later)
    for name in ("untuned", "external", "generators_apart"):
        del fields["places"][name]
    old = Design.model_validate(fields)
    assert {a.ratio for a in made.arms() if a.kind in CONTROLS} == {12.0}
    assert {a.ratio for a in old.arms() if a.kind in CONTROLS} == {2.0}
    plant(tmp_path / "s", old, lambda kind, n, ratio, group: curve(n))
    (tmp_path / "s" / PLAN).write_text(json.dumps(fields))
    for path in (tmp_path / "s").rglob(RESULT):
        result = json.loads(path.read_text())
        del result["arm"]["val_fraction"], result["arm"]["generator"]
        path.write_text(json.dumps(result))
    found = analysis.analyse(tmp_path / "s", n_boot=100)
    assert {c.ratio for c in found.contrasts if c.second == WHAT["real-repeated"]} == {2.0}
    assert {c.ratio for c in found.contrasts if c.second == WHAT["randaugment"]} == {2.0, 12.0}
