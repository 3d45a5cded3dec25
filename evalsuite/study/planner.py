"""How many test images, patients and trainings a study needs, by simulating studies like the pilot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.study import simulated_shares as simulated
from evalsuite.study.pilot import PilotGroup, PilotPair, Population

LARGEST = 1_000_000  # patients


@dataclass(frozen=True)
class Plan:
    """What is asked of a study: power and level, studies simulated for each number, and their seed."""

    power: float = 0.8
    alpha: float = 0.05
    simulations: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Size:
    """A size of a test set, and how often a study of it sees what was planted.

    Attributes
    ----------
    patients, images
        Of the whole test set; patients are images where each stands alone.
    power
        Share of the simulated studies.
    false_alarms
        The same where nothing was planted.
    """

    patients: int
    images: int
    power: float
    false_alarms: float


@dataclass(frozen=True)
class GapPlan:
    """What a group against all others needs.

    Attributes
    ----------
    now
        The pilot's own size.
    visible
        The gap that the pilot's size shows with the power asked for; NaN where none.
    needed
        None: not even the largest size.
    in_group
        Images of the group in it.
    """

    group: str
    rest_rate: float
    gap: float
    now: Size
    visible: float
    needed: Size | None
    in_group: int


def plan_gap(groups: list[PilotGroup], name: str, gap: float, plan: Plan, balanced: bool = False) -> GapPlan:
    """The test set in which `name` is seen to be worse than the rest by `gap`, at alpha over the number of groups.

    Parameters
    ----------
    balanced
        Take as many images of each group, instead of the pilot's shares.

    Raises
    ------
    UserError
        The others are no better than the gap.
    """
    own = next(g for g in groups if g.name == name)
    others = [g for g in groups if g is not own]
    share = 1 / len(groups) if balanced else own.share
    weights = np.array([1.0 if balanced else g.share for g in others]) / (len(others) if balanced else 1 - own.share)
    of_others = weights * [g.counted for g in others]
    counted = float(of_others.sum())
    rate = float(of_others @ [g.rate for g in others]) / counted
    if rate <= gap:
        raise UserError(f"a gap of {gap:g} for {name}: the others reach {rate:.3f}; give a smaller one")
    rest = Population(np.concatenate([g.population.sizes for g in others]), own.population.correlation)
    alpha = plan.alpha / (len(groups) if len(groups) > 2 else 1)

    def patients_of(images: int) -> tuple[int, int]:
        here = images * share * own.counted / own.population.images_per_patient
        there = images * (1 - share) * counted / rest.images_per_patient
        return max(2, round(here)), max(2, round(there))

    def power(images: int, planted: float) -> float:
        rng = np.random.default_rng([plan.seed, images, round(1e6 * planted)])
        here, there = patients_of(images)
        low = simulated.binary(rng, own.population, rate - planted, here, plan.simulations)
        high = simulated.binary(rng, rest, rate, there, plan.simulations)
        return float((simulated.p_of_means(high, low) < alpha).mean())

    def size(images: int) -> Size:
        return Size(round(images * patients), images, power(images, gap), power(images, 0.0))

    pilot = sum(g.images for g in groups)
    own_patients = own.patients / own.images
    patients = share * own_patients + (1 - share) * float(weights @ [g.patients / g.images for g in others])
    needed, _ = _least(lambda images: power(images, gap), plan.power, pilot)
    return GapPlan(
        name,
        rate,
        gap,
        size(pilot),
        _visible(lambda planted: power(pilot, planted), plan.power, rate),
        size(needed) if needed else None,
        round(needed * share) if needed else 0,
    )


@dataclass(frozen=True)
class GainPlan:
    """What a difference of two arms needs.

    Attributes
    ----------
    dose
        At which the gain is expected; NaN where none was named.
    needed
        None: not even the largest size.
    at_most
        The largest power of any size that was tried. With few trainings it is small whatever the test set.
    """

    dose: float
    gain: float
    seeds: int
    needed: Size | None
    at_most: float


def plan_gain(
    pilot: PilotPair, gain: float, seeds: int, plan: Plan, seed_sd: float, dose: float = math.nan
) -> GainPlan:
    """The test set on which a gain is seen with this many trainings of each arm.

    Parameters
    ----------
    seed_sd
        Spread of the difference of the arms from one training of both to another.
    """
    discordant = max(pilot.discordant, abs(gain))

    def power(patients: int, planted: float) -> float:
        rng = np.random.default_rng([plan.seed, patients, seeds, round(1e6 * planted)])
        item = simulated.paired(rng, pilot, planted, discordant, patients, seeds, plan.simulations)
        luck = rng.normal(0, seed_sd / math.sqrt(seeds), plan.simulations)
        seen = np.zeros(plan.simulations)
        if seeds > 1:
            seen = seed_sd**2 / seeds * rng.chisquare(seeds - 1, plan.simulations) / (seeds - 1)
        return float(
            (
                simulated.p_of(item.mean + luck, item.variance + seen, simulated.degrees(item, seen, seeds))
                < plan.alpha
            ).mean()
        )

    needed, at_most = _least(lambda patients: power(patients, gain), plan.power, 20)
    if needed is None:
        return GainPlan(dose, gain, seeds, None, at_most)
    images = round(needed * pilot.population.images_per_patient / pilot.counted)
    return GainPlan(dose, gain, seeds, Size(needed, images, power(needed, gain), power(needed, 0.0)), at_most)


def _least(power: Callable[[int], float], wanted: float, start: int) -> tuple[int | None, float]:
    """The smallest number whose power reaches `wanted`, to 2 % (None beyond `LARGEST`), and the largest power seen."""
    low, high = 3, max(start, 4)
    best = reached = power(high)
    while reached < wanted:
        if high >= LARGEST:
            return None, best
        low, high = high, min(2 * high, LARGEST)
        reached = power(high)
        best = max(best, reached)
    while high - low > max(1, 0.02 * high):
        middle = (low + high) // 2
        reached = power(middle)
        best = max(best, reached)
        low, high = (low, middle) if reached >= wanted else (middle, high)
    return high, best


def _visible(power: Callable[[float], float], wanted: float, most: float) -> float:
    """The smallest difference whose power reaches `wanted`, to 0.002."""
    if power(most) < wanted:
        return math.nan
    low, high = 0.0, most
    while high - low > 0.002:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= wanted else (middle, high)
    return high
