"""What was planted in a pilot is read from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.fairness.metric_key import ShareMetric
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.study.pilot import correlation, pilot_groups, pilot_pair, pilot_single


def called(right: np.ndarray, label: np.ndarray, patient: np.ndarray | None = None) -> pd.DataFrame:
    """Predictions of two classes that are right where they are said to be."""
    b = np.where((label == "b") == right, 0.9, 0.1)
    frame = pd.DataFrame({"id": [f"i{k}" for k in range(len(label))], "label": label, "prob_a": 1 - b, "prob_b": b})
    return frame if patient is None else frame.assign(patient=[f"p{k}" for k in patient])


@pytest.mark.parametrize("planted", [0.0, 0.2, 0.6])
def test_the_correlation_within_patients_is_found(planted: float) -> None:
    """Mean over 20 tables of 150 patients of one to six images."""
    rng, found = np.random.default_rng(0), []
    for _ in range(20):
        patient = np.repeat(np.arange(150), rng.integers(1, 7, 150))
        copies = rng.random(len(patient)) < np.sqrt(planted)
        right = np.where(copies, (rng.random(150) < 0.7)[patient], rng.random(len(patient)) < 0.7)
        found.append(correlation(right - right.mean(), pd.Series(patient)))
    assert np.mean(found) == pytest.approx(planted, abs=0.03)


def test_groups_have_their_rates_shares_and_patients() -> None:
    label = np.array(["a", "b"] * 60)
    right = np.ones(120, bool)
    right[:20] = False
    frame = called(right, label, np.arange(120) // 3).assign(fst=["VI"] * 30 + ["I"] * 60 + ["unknown"] * 30)
    one, six = pilot_groups(from_frame(frame, groups=["fst"], cluster="patient"), "fst", ShareMetric.sensitivity, "b")
    assert (one.name, one.images, one.patients, one.rate, one.counted) == ("I", 60, 20, 1.0, 0.5)
    assert (six.name, six.rate, six.share) == ("VI", pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert one.population.sizes.sum() == 30


def test_the_luck_of_trainings_is_told_from_that_of_images() -> None:
    """Eight trainings of each arm: the spread of their difference, and how much of an image's difference lasts."""
    rng, n = np.random.default_rng(1), 4000
    label = rng.choice(["a", "b"], n)
    base = rng.random(n) < 0.8
    arms, others = [], []
    for _ in range(8):
        shift = rng.normal(0, 0.03)
        lasting = np.where(np.arange(n) % 10 == 0, ~base, base)  # every tenth image differs in every training
        lucky = rng.random(n) < 0.05
        worse = (rng.random(n) < max(0.04 - shift, 0)) & base
        arms.append(from_frame(called(np.where(lucky, ~lasting, lasting) & ~worse, label)))
        others.append(from_frame(called(base, label)))
    found = pilot_pair(arms, others, ShareMetric.accuracy)
    assert found.trainings == 8
    assert found.seed_sd == pytest.approx(0.02, abs=0.012)
    assert 0.3 < found.lasting < 0.7
    same = pilot_pair(arms[:1], others[:1], ShareMetric.accuracy)
    assert (same.seed_sd, same.lasting) == (0.0, 1.0)


def test_the_order_of_rows_and_classes_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    label, right = rng.choice(["a", "b"], 60), rng.random((2, 60)) < 0.7
    arm, other = (called(r, label) for r in right)
    mixed = other[["prob_b", "id", "prob_a", "label"]].sample(frac=1, random_state=0)
    one = pilot_pair([from_frame(arm)], [from_frame(other)], ShareMetric.accuracy)
    again = pilot_pair([from_frame(arm)], [from_frame(mixed)], ShareMetric.accuracy)
    assert (one.gain, one.discordant) == (again.gain, again.discordant)
    assert one.gain == pytest.approx(right[0].mean() - right[1].mean())


def table(n: int, groups: int = 2) -> Predictions:
    label = np.array(["a", "b"] * (n // 2))
    frame = called(np.ones(n, bool), label)
    return from_frame(frame.assign(fst=[str(k % groups + 1) for k in range(n)]), groups=["fst"])


def test_what_a_pilot_cannot_say_is_refused() -> None:
    with pytest.raises(UserError, match="1 groups in fst; a gap needs two"):
        pilot_groups(table(20, 1), "fst", ShareMetric.accuracy)
    with pytest.raises(UserError, match=r"fst 1 has 4 patients \(or images\) for the accuracy"):
        pilot_groups(table(8), "fst", ShareMetric.accuracy)
    with pytest.raises(UserError, match="1 tables against 2; expected as many"):
        pilot_pair([table(20)], [table(20)] * 2, ShareMetric.accuracy)
    with pytest.raises(UserError, match="hold different ids"):
        pilot_pair([table(20)], [table(22)], ShareMetric.accuracy)
    with pytest.raises(UserError, match="no class 'z'"):
        pilot_single(table(20), 0.1, ShareMetric.sensitivity, "z")
