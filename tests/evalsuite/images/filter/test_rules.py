"""The filter keeps its promise on real images, and says when one group loses more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from dermforge.common.errors import UserError
from evalsuite.images.filter.rules import apply, filter_section, rejection_rates, thresholds_from, unequal_groups
from evalsuite.page.blocks import Table


def judged(n: int, groups: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"s{i}" for i in range(n)],
            "class": ["a", "b"] * (n // 2),
            "group": [f"g{i % groups}" for i in range(n)],
            "strategy": "text-to-image",
        }
    )


@given(st.floats(0.01, 0.3), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_thresholds_drop_no_more_real_images_than_stated(rejection: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = {name: {f"r{i}": float(v) for i, v in enumerate(rng.normal(size=200))} for name in ("recognised", "typical")}
    cuts, rate = thresholds_from(real, rejection)
    frame = pd.DataFrame(real)
    assert (frame < pd.Series(cuts)).any(axis=1).mean() == pytest.approx(rate)
    assert rejection / 2 - 0.02 <= rate <= rejection


def test_too_few_real_images_are_refused() -> None:
    with pytest.raises(UserError, match="at least 20"):
        thresholds_from({"typical": {"a": 1.0}}, 0.05)


def test_a_filter_that_deletes_dark_skin_is_named() -> None:
    frame = judged(300)
    rng = np.random.default_rng(0)
    scores: Any = {"typical": {r.id: rng.normal() - (1.5 if r.group == "g2" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.5}, 0.05)
    assert len(done.warnings) == 1
    assert "group g2" in done.warnings[0]
    assert filter_section(done).status == "warn"
    row = done.rates.set_index("cell").loc["g2"]
    assert row["low"] < 0.5 < row["high"]


def test_a_filter_stricter_on_real_dark_skin_is_named_too() -> None:
    """Real images of one skin type that fail more often mean that the rule, not the generator, is at fault."""
    frame, rng = judged(300), np.random.default_rng(0)
    scores: Any = {"typical": {r.id: rng.normal() for r in frame.itertuples()}}
    real = frame.assign(kept=(frame["group"] != "g1") | (rng.random(300) > 0.4))
    done = apply(frame, scores, {"typical": -1.5}, 0.05, real=real)
    assert len(done.warnings) == 1
    assert "real images of group g1" in done.warnings[0]
    row = done.rates.set_index("cell").loc["g1"]
    assert row["real_low"] < 0.4 < row["real_high"]


def test_an_even_filter_raises_no_warning() -> None:
    """Holm's correction: at most one false warning in twenty random filters."""
    alarms = 0
    for seed in range(20):
        frame = judged(300).assign(kept=np.random.default_rng(seed).random(300) > 0.2)
        alarms += bool(unequal_groups(frame))
    assert alarms <= 2


def test_one_group_of_many_is_judged_by_what_chance_does_to_many() -> None:
    """Alone it would be beyond chance at 5 %; among five, the unluckiest one often is (Holm 1979)."""
    frame = judged(200, groups=5)
    place = frame.groupby("group").cumcount()
    lost = frame.assign(kept=place >= np.where(frame["group"] == "g0", 12, 6))
    counts = [[12, 28], [24, 136]]
    assert 0.05 / 5 < fisher_exact(counts, alternative="greater")[1] < 0.05
    assert unequal_groups(lost) == []
    beyond = frame.assign(kept=place >= np.where(frame["group"] == "g0", 18, 6))
    assert len(unequal_groups(beyond)) == 1
    assert "45% (31% to 60%) of group g0 and 15% of the others" in unequal_groups(beyond)[0]


def test_keeping_the_balance_drops_the_worst_of_fuller_cells() -> None:
    frame = judged(240)
    rng = np.random.default_rng(0)
    scores: Any = {"typical": {r.id: rng.normal() - (1.0 if r.group == "g1" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.0}, 0.05, keep_balance=True)
    shares = done.images.groupby(["class", "group"])["kept"].mean()
    assert shares.max() - shares.min() < 0.03
    kept = done.images[done.images["kept"]]
    assert kept["typical"].min() >= -1.0
    assert done.kept == sorted(kept["id"])
    for _, cell in done.images.groupby(["class", "group"]):
        dropped = cell[cell["reasons"] == "balance"]
        assert dropped["typical"].max() < cell[cell["kept"]]["typical"].min() or dropped.empty
    assert (done.images["reasons"] == "balance").sum() > 10


def test_images_of_one_photograph_count_as_one_when_groups_are_compared() -> None:
    """Ten renderings of each photograph fail together: three unlucky photographs are no unfair filter."""
    frame = judged(300).assign(parent=[f"photo-{i // 30}-{i % 3}" for i in range(300)])  # 30, each of one group
    lost = frame["parent"].isin([f"photo-{k}-2" for k in range(3)])  # 30 of 100 images of g2, none of the others
    assert len(unequal_groups(frame.assign(kept=~lost, parent=None))) == 1
    assert unequal_groups(frame.assign(kept=~lost)) == []
    row = {
        of: rejection_rates(frame.assign(kept=~lost, parent=frame["parent"] if of == "photographs" else None))
        .set_index("cell")
        .loc["g2"]
        for of in ("images", "photographs")
    }
    assert row["images"]["rate"] == row["photographs"]["rate"] == 0.3
    assert row["photographs"]["high"] - row["photographs"]["low"] > 2 * (row["images"]["high"] - row["images"]["low"])


@pytest.mark.parametrize(
    ("low", "status", "said"),
    [
        (1.0, "bad", "0 of 36 images (0%) are kept"),
        (0.6, "warn", "only 14 of 36 images are left"),
        (0.2, "good", "28 of 36 images (78%) are kept"),
    ],
)
def test_a_filter_that_leaves_little_is_not_called_good(low: float, status: str, said: str) -> None:
    """The status follows the share that is left, and not only how even it is."""
    frame = judged(36)
    scores = {"typical": {id: i / 36 for i, id in enumerate(frame["id"])}}
    done = apply(frame.sample(frac=1, random_state=0), scores, {"typical": low}, 0.05)
    part = filter_section(done)
    assert (part.status, said in part.verdict) == (status, True)


def test_a_class_without_a_kept_image_is_named() -> None:
    frame = judged(36).assign(**{"class": ["a", "b", "c"] * 12})
    done = apply(frame, {"typical": {id: float(i % 3) for i, id in enumerate(frame["id"])}}, {"typical": 0.5}, 0.05)
    assert "none of the 12 images of class a is left" in done.warnings
    assert filter_section(done).status == "bad"


@settings(deadline=None)
@given(scores=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=15))
def test_each_dropped_image_is_counted_under_the_rules_that_dropped_it(scores: list[tuple[float, float]]) -> None:
    scores = scores * 2
    frame = judged(len(scores))
    named = {
        n: dict(zip(frame["id"], (s[i] for s in scores), strict=True)) for i, n in enumerate(("typical", "intact"))
    }
    table = filter_section(apply(frame, named, {"typical": 0.5, "intact": 0.5}, 0.05)).shown["utility"][0]
    assert isinstance(table, Table)
    found = {str(row[0]).partition(":")[0]: int(str(row[1])) for row in table.rows}
    expected = {n: sum(s[i] < 0.5 for s in scores) for i, n in enumerate(("typical", "intact"))}
    assert found == {n: k for n, k in expected.items() if k}
