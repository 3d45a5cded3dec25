"""What readers with help did, for all cases, each group and each reader; and how often the intervals hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mrmc_helpers import imrmc_example, simulated

from dermforge.common.errors import UserError
from evalsuite.readers.analysis import ReaderSettings, analyse
from evalsuite.readers.choices import CovarianceMethod, Fixed, Metric
from evalsuite.readers.ratings import Reading, from_frame

ALL = [ReaderSettings(metric, 1.0, method) for metric in Metric for method in CovarianceMethod]


@pytest.mark.parametrize("settings", ALL, ids=lambda s: f"{s.metric} {s.method}")
def test_a_large_gain_is_found_and_turns_with_the_modalities(settings: ReaderSettings) -> None:
    frame = simulated(5, 160, 1.5, seed=2)
    if settings.metric is Metric.specificity:
        frame["truth"], frame["rating"] = 1 - frame["truth"], 2 - frame["rating"]
    one = analyse(from_frame(frame, Reading(against="alone")), settings)
    other = analyse(from_frame(frame, Reading(against="helped")), settings)
    assert (one.whole.verdict(settings), other.whole.verdict(settings)) == ("helps", "hurts")
    a, b = one.whole.difference(Fixed.neither), other.whole.difference(Fixed.neither)
    assert a is not None
    assert b is not None
    assert (a.value, a.low, a.high, a.p) == pytest.approx((-b.value, -b.high, -b.low, b.p))
    json.dumps(one.to_dict(), allow_nan=False)


def test_readers_who_give_the_same_ratings_show_no_error() -> None:
    """Nothing moved, so nothing shows how much might have: no interval of width 0, no verdict."""
    frame = simulated(3, 40)
    frame["rating"] = frame["truth"] + 0.0
    found = analyse(from_frame(frame))
    one = found.whole.difference(Fixed.neither)
    assert one is not None
    assert math.isnan(one.low)
    assert math.isnan(one.p)
    assert found.whole.verdict(found.settings) == "not enough data"


def test_groups_with_few_cases_are_named_and_not_judged() -> None:
    frame = simulated(4, 120, 2.0, seed=1)
    frame["fst"] = np.where(frame["case"].str[1:].astype(int) < 90, "I", "VI")
    frame.loc[frame["case"] == "c3", "fst"] = None
    found = analyse(from_frame(frame, Reading(group="fst")), group_column="fst")
    assert [(one.name, one.lacking == "") for one in found.groups] == [("I", True), ("VI", True), ("unknown", False)]
    assert found.groups[2].verdict(found.settings) == "not enough data"
    assert math.isnan(found.groups[2].p_holm)
    first = found.groups[0].difference(Fixed.neither)
    assert first is not None
    assert found.groups[0].p_holm >= first.p


def test_a_group_helps_only_by_holms_p() -> None:
    frame = simulated(4, 200, 0.5, seed=4)
    frame["fst"] = (frame["case"].str[1:].astype(int) // 20).astype(str)
    found = analyse(from_frame(frame, Reading(group="fst")), group_column="fst")
    for one in found.groups:
        if one.verdict(found.settings) in ("helps", "hurts"):
            assert one.p_holm <= 0.05


def test_a_modality_helps_only_by_holms_p_among_all_pairs() -> None:
    """With a modality more than the question needs, the same difference has more to withstand."""
    frame = simulated(5, 120, 0.7, seed=3)
    extra = frame[frame["modality"] == "helped"].assign(modality="third")
    extra["rating"] += np.random.default_rng(0).normal(0, 2, len(extra))
    found = analyse(from_frame(pd.concat([frame, extra])))
    first, *_ = found.whole.analyses[Fixed.neither].differences
    assert len(found.whole.analyses[Fixed.neither].differences) == 3
    settings = replace(found.settings, confidence=1 - 1.5 * first.p, margin=0.0)  # by its own p, not by Holm's
    again = analyse(from_frame(pd.concat([frame, extra])), settings)
    mine = again.whole.difference(Fixed.neither)
    assert mine is not None
    assert mine.low > 0
    assert again.whole.verdict(settings) == "cannot be determined"


def test_one_reader_is_judged_only_as_fixed() -> None:
    data = from_frame(simulated(1, 60, 1.0))
    with pytest.raises(UserError, match="take readers as fixed"):
        analyse(data)
    found = analyse(data, ReaderSettings(fixed=Fixed.readers))
    one, row = found.whole.difference(Fixed.readers), found.readers.iloc[0]
    assert one is not None
    assert (one.value, one.low, one.high) == pytest.approx((row["difference"], row["low"], row["high"]))


def test_one_modality_has_means_and_nothing_to_compare() -> None:
    frame = imrmc_example().query("modality == 'testA'")
    found = analyse(from_frame(frame), ReaderSettings(method=CovarianceMethod.unbiased))
    mean = found.whole.analyses[Fixed.neither].means[0]
    assert (mean.value, mean.df) == pytest.approx((0.704375, 6.854589), abs=1e-6)
    assert found.whole.verdict(found.settings) == "not enough data"


def test_a_share_needs_a_threshold() -> None:
    with pytest.raises(UserError, match="needs a threshold"):
        analyse(from_frame(simulated(2, 40)), ReaderSettings(Metric.sensitivity))
