"""Linear classifiers answer as planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from image_helpers import features

from evalsuite.images.quality.utility import Side, discriminator, matched_rows, utility_table


def whole(utility: pd.DataFrame) -> pd.Series:
    return utility[utility["family"] == "overall"].set_index("metric")["value"]


def test_one_skin_type_that_is_drawn_wrong_is_found() -> None:
    """The classes of dark images are shuffled and their pixels moved: only their rows show it."""
    real, synthetic = features(360), features(360, seed=1)
    dark = (synthetic.frame["group"] == "dark").to_numpy()
    rng = np.random.default_rng(0)
    synthetic.frame.loc[dark, "class"] = rng.permutation(synthetic.frame.loc[dark, "class"])
    synthetic.values[dark] += 2
    table = utility_table(real, synthetic, resamples=50)
    groups = table[table["family"] == "group"].set_index(["metric", "cell"])["value"]
    assert groups["real to synthetic [plain]", "light"] > 0.9
    assert groups["real to synthetic [plain]", "dark"] < 0.6
    assert groups["real or synthetic [plain]", "dark"] > groups["real or synthetic [plain]", "light"] + 0.2


def test_the_linear_classifiers_see_at_most_max_n() -> None:
    """Memory and time stay bounded however many images there are; classes stay equal."""
    a, b = matched_rows(features(600).frame, features(900, seed=1).frame, max_n=90)
    assert len(a) == len(b) == 90
    assert features(600).frame["class"].iloc[a].value_counts().tolist() == [30, 30, 30]


def test_accuracy_scores_go_both_ways() -> None:
    """Classes that carry over score high in all directions; shuffled synthetic labels score at chance."""
    real, synthetic = features(240), features(240, seed=1)
    good = whole(utility_table(real, synthetic, resamples=50))
    assert good.drop("real or synthetic [plain]").min() > 0.9
    synthetic.frame["class"] = np.random.default_rng(0).permutation(synthetic.frame["class"])
    bad = whole(utility_table(real, synthetic, resamples=50))
    assert bad["real to real [plain]"] > 0.9
    assert bad["synthetic to real [plain]"] < 0.6
    assert bad["real to synthetic [plain]"] == pytest.approx(1 / 3, abs=0.12)


def test_a_parent_and_its_child_share_a_fold() -> None:
    """Copies of real images must not be told apart by having seen their parent in training."""
    real = features(100)
    child = features(100, parent=list(real.frame["id"]))
    label, group, id = (real.frame[column].to_numpy(dtype=object) for column in ("class", "group", "id"))
    first, second = (Side(features.values, label, group, id) for features in (real, child))
    estimate = discriminator(first, second).estimate(resamples=50)
    assert estimate.low <= 0.5 <= estimate.high + 0.05


def test_matched_rows_have_the_same_classes() -> None:
    real, synthetic = features(90), features(60, seed=1, classes=2)
    a, b = matched_rows(real.frame, synthetic.frame)
    assert real.frame["class"].iloc[a].tolist() == synthetic.frame["class"].iloc[b].tolist()
    assert set(real.frame["class"].iloc[a]) == {"c0", "c1"}
