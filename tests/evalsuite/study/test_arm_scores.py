"""The groups of a study."""

from __future__ import annotations

import pandas as pd

from evalsuite.fairness.predictions import from_frame
from evalsuite.study.arm_scores import ALL, group_masks


def test_a_missing_skin_type_is_no_group_of_a_study() -> None:
    frame = pd.DataFrame({"id": range(4), "label": list("abab"), "prob_a": 0.5, "prob_b": 0.5})
    base = from_frame(frame.assign(group=["1", "unknown", "", "2"]))
    assert list(group_masks(base)) == [ALL, "1", "2"]
