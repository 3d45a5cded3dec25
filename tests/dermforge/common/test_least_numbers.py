"""What `shards make` foretells is what the commands enforce."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import ARM_SEEDS, AUDIT_PATIENTS, FILTER_VALIDATION, GROUP_IMAGES
from evalsuite.fairness.card import DEFAULTS
from evalsuite.images.filter.rules import thresholds_from
from evalsuite.images.privacy.calibration import calibrate
from evalsuite.stats.verdict import lacking


def test_the_filter_takes_its_least_number_and_no_fewer() -> None:
    scores = {"typical": {str(i): float(i) for i in range(FILTER_VALIDATION)}}
    thresholds_from(scores, 0.05)
    with pytest.raises(UserError, match="split before a generator is tuned"):
        thresholds_from({"typical": dict(list(scores["typical"].items())[1:])}, 0.05)


def test_the_audit_takes_its_least_number_of_patients_and_no_fewer() -> None:
    found = pd.DataFrame({"likeness": np.linspace(0, 1, 2 * AUDIT_PATIENTS)})
    patients = np.arange(2 * AUDIT_PATIENTS) // 2
    calibrate(found, ("likeness",), 0.01, "unseen images", patients)
    with pytest.raises(UserError, match="of different patients"):
        calibrate(found[2:], ("likeness",), 0.01, "unseen images", patients[2:])


def test_card_and_study_have_one_least_number() -> None:
    assert DEFAULTS.min_count == GROUP_IMAGES
    assert lacking(GROUP_IMAGES, GROUP_IMAGES, None, ARM_SEEDS) == ""
    assert lacking(GROUP_IMAGES - 1, GROUP_IMAGES - 1, None, ARM_SEEDS)
