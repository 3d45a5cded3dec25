"""Plans agree with closed forms where there are some, grow with clustering, and are the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dermforge.common.errors import UserError
from evalsuite.study.pilot import PilotGroup, PilotPair, Population
from evalsuite.study.planner import Plan, plan_gain, plan_gap

ALONE = Population(np.ones(50, np.int64), 0.0)


def groups(rates: tuple[float, ...], population: Population = ALONE) -> list[PilotGroup]:
    share, images = 1 / len(rates), 60
    patients = round(images / population.images_per_patient)
    return [PilotGroup(str(i), images, patients, rate, share, 1.0, population) for i, rate in enumerate(rates)]


def test_two_groups_need_what_the_textbook_says() -> None:
    """0.8 against 0.7, two-sided 5 %, 80 %: 291 in each (Fleiss, without a correction of continuity)."""
    found = plan_gap(groups((0.8, 0.7)), "1", 0.1, Plan(simulations=2000))
    assert found.needed is not None
    assert found.in_group == pytest.approx(291, rel=0.08)
    assert found.needed.power == pytest.approx(0.8, abs=0.04)
    assert found.needed.false_alarms == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("size", [3, 6])
def test_images_of_one_patient_count_for_less(size: int) -> None:
    """By the design effect, 1 + (size - 1) correlation."""
    alike = Population(np.full(50, size, np.int64), 0.4)
    alone, clustered = (plan_gap(groups((0.8, 0.7), p), "1", 0.1, Plan(simulations=2000)) for p in (ALONE, alike))
    assert alone.needed is not None
    assert clustered.needed is not None
    assert clustered.needed.images / alone.needed.images == pytest.approx(1 + (size - 1) * 0.4, rel=0.12)
    assert clustered.needed.patients == round(clustered.needed.images / size)


def test_the_gap_that_a_size_shows_is_the_gap_that_needs_it() -> None:
    plan = Plan(simulations=2000)
    found = plan_gap(groups((0.8, 0.7)), "1", 0.1, plan)
    again = plan_gap(groups((0.8, 0.7)), "1", found.visible, plan)
    assert again.needed is not None
    assert again.needed.images == pytest.approx(120, rel=0.1)  # the pilot's own


def test_more_groups_share_the_level() -> None:
    found = plan_gap(groups((0.8, 0.8, 0.8, 0.8, 0.7)), "4", 0.1, Plan(simulations=1000))
    assert found.needed is not None
    assert found.needed.false_alarms < 0.022


def test_a_gap_that_the_others_do_not_reach_is_refused() -> None:
    with pytest.raises(UserError, match=r"the others reach 0\.300; give a smaller one"):
        plan_gap(groups((0.3, 0.7)), "1", 0.4, Plan())


def pair(population: Population = ALONE, lasting: float = 1.0) -> PilotPair:
    return PilotPair(0.0, 0.15, lasting, 0.0, 1, 1.0, population)


def test_a_paired_difference_needs_what_the_textbook_says() -> None:
    """0.03 with 15 % discordant: 1,304 pairs (Miettinen 1968)."""
    found = plan_gain(pair(), 0.03, 1, Plan(simulations=2000), seed_sd=0.0)
    assert found.needed is not None
    assert found.needed.images == pytest.approx(1304, rel=0.08)


def test_few_trainings_are_not_mended_by_images() -> None:
    """A difference that varies by 0.03 between trainings: its mean over three does not show 0.03."""
    few, many = (plan_gain(pair(), 0.03, count, Plan(), seed_sd=0.03) for count in (3, 20))
    assert few.needed is None
    assert few.at_most < 0.8
    assert many.needed is not None


def test_trainings_average_what_does_not_last() -> None:
    lasting, passing = (plan_gain(pair(lasting=part), 0.03, 10, Plan(), seed_sd=0.0) for part in (1.0, 0.2))
    assert lasting.needed is not None
    assert passing.needed is not None
    assert passing.needed.images < 0.5 * lasting.needed.images


def test_the_same_seed_gives_the_same_plan() -> None:
    one, other = (plan_gain(pair(), 0.05, 3, Plan(simulations=200), seed_sd=0.005) for _ in range(2))
    assert one.needed == other.needed
    assert math.isnan(one.dose)
    assert plan_gain(pair(), 0.05, 3, Plan(simulations=200, seed=1), seed_sd=0.005).needed != one.needed


@pytest.mark.parametrize("count", [3, 5, 10])
def test_false_alarms_keep_to_the_level(count: int) -> None:
    found = plan_gain(
        pair(Population(np.full(9, 4, np.int64), 0.3)), 0.05, count, Plan(simulations=1500), seed_sd=0.005
    )
    assert found.needed is not None
    assert found.needed.false_alarms < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500) + 0.01
