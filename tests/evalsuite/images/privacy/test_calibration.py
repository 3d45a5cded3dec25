"""The threshold keeps its promise on average, and a single calibration keeps to the worse rate that it names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from dermforge.common.errors import UserError
from evalsuite.images.privacy import calibration
from evalsuite.images.privacy.calibration import calibrate, measured_alarms


@pytest.mark.parametrize(("n", "asked"), [(20, 0.01), (100, 0.01), (400, 0.05)])
def test_false_alarms_keep_to_what_is_promised(n: int, asked: float) -> None:
    """The true rate of each of 200 calibrations is known, as the scores are normal."""
    rates, kept = [], 0
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=n)
        found = calibrate(pd.DataFrame({"likeness": scores}), ("likeness",), asked, "")
        cut = found.centre["likeness"] + found.threshold * found.spread["likeness"]
        rates.append(float(norm.sf(cut)))
        kept += rates[-1] <= found.worst
    assert np.mean(rates) <= found.false_alarms * 1.1
    assert found.false_alarms == pytest.approx(max(asked, 1 / (n + 1)))
    assert kept / 200 >= 0.92  # 95 % at least, as far as 200 draws can tell


def test_a_few_unseen_images_promise_little_and_it_is_said() -> None:
    """With 36 a perfect generator is called to copy up to 8 % of its images by one audit in twenty."""
    found = calibrate(pd.DataFrame({"likeness": np.arange(36.0)}), ("likeness",), 0.01, "unseen test images")
    assert found.worst == pytest.approx(1 - 0.05 ** (1 / 36))
    assert "at most 2.7% of unseen real images are expected" in found.sentence()
    assert "at most 8.0%" in found.sentence()
    with pytest.raises(UserError, match="at least 20"):
        calibrate(pd.DataFrame({"likeness": np.arange(19.0)}), ("likeness",), 0.01, "")


def test_a_patient_counts_once_however_many_images_there_are() -> None:
    """Ten images of each of 30 patients calibrate like 30: else the promise would be 1 % where it is 3.2 %."""
    rng, patient = np.random.default_rng(0), np.repeat(np.arange(30), 10)
    scores = pd.DataFrame({"likeness": rng.normal(size=30)[patient] + rng.normal(0, 0.1, 300)})
    images = calibrate(scores, ("likeness",), 0.01, "unseen test images")
    patients = calibrate(scores, ("likeness",), 0.01, "unseen test images", patient)
    assert (images.false_alarms, patients.false_alarms) == (0.01, pytest.approx(1 / 31))
    assert patients.worst == pytest.approx(1 - 0.05 ** (1 / 30))
    assert "300 unseen test images of 30 patients" in patients.sentence()
    with pytest.raises(UserError, match="100 unseen real images of 10 patients"):
        calibrate(scores[:100], ("likeness",), 0.01, "", patient[:100])


def test_no_patient_is_on_both_sides_of_the_measured_false_alarms() -> None:
    """One patient in fifty lies near the training set with all its images: seen in calibration it would hide itself."""
    patient = np.repeat(np.arange(50), 4)
    scores = np.random.default_rng(0).normal(size=200)
    scores[:4] = [30, 31, 32, 33]
    table = pd.DataFrame({"likeness": scores})
    found = measured_alarms(table, ("likeness",), 0.01, family=patient)
    assert found.value >= 4 / 200
    assert measured_alarms(table, ("likeness",), 0.01).value < 4 / 200
    assert found.high - found.low > 0.08  # one patient of fifty, not four images of two hundred


def test_a_few_unseen_images_keep_the_promise_in_several_spaces_too() -> None:
    """The scale that makes spaces comparable is measured on the same 36 images: they must not profit from that."""
    rates = []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        known, fresh = (pd.DataFrame(rng.standard_exponential((n, 2)), columns=["a", "b"]) for n in (36, 400))
        found = calibrate(known, ("a", "b"), 0.01, "")
        rates.append(float((found.score(fresh) > found.threshold).mean()))
    assert np.mean(rates) <= 1 / 37


def test_false_alarms_are_measured_on_images_that_set_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image is judged once, by a threshold of all folds but its own: else the audit would flatter itself."""
    unseen = pd.DataFrame({"structure": np.random.default_rng(0).normal(size=100)})
    fitted: list[set[int]] = []
    real = calibration.calibrate

    def spy(rows: pd.DataFrame, *others: Any) -> calibration.Calibration:
        fitted.append(set(rows.index))
        return real(rows, *others)

    monkeypatch.setattr(calibration, "calibrate", spy)
    alarms = calibration.measured_alarms(unseen, ("structure",), 0.05)
    assert [len(rows) for rows in fitted] == [80] * 5
    assert sorted(i for rows in fitted for i in set(unseen.index) - rows) == list(range(100))
    assert alarms.n == 100
